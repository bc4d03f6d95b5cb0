/**
 * The clients of a run, in processes of their own, so that they keep up:
 *
 *     const swarm = await startSwarm({ url, seed, clients, processes: 2 });
 *     await swarm.behind(totals);     // how many subscriptions have not got so far
 *     await swarm.report(totals);
 *     await swarm.stop();
 */
import { join } from "node:path";
import type { Answer, Answered, ClientPlan, Report, Totals, Truth, Wish } from "./messages.ts";

const CHILD = join(import.meta.dir, "swarm-child.ts");

export interface Swarm {
  behind(totals: Totals): Promise<number>;
  leave(count: number): Promise<void>;
  truth(): Promise<Truth>;
  report(totals: Totals): Promise<Report>;
  /** All clients go; the processes stay for the report. */
  end(): Promise<void>;
  stop(): Promise<void>;
}

interface Process {
  ask(wish: Wish): Promise<Answer>;
  stop(): Promise<void>;
}

function startProcess(): Process {
  const waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  const child = Bun.spawn([process.execPath, CHILD], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    ipc({ id, answer }: Answered) {
      waiting.get(id)?.resolve(answer);
      waiting.delete(id);
    },
    onExit() {
      for (const { reject } of waiting.values()) reject(new Error("the process of the clients has ended"));
    },
  });
  return {
    ask: (wish) =>
      new Promise((resolve, reject) => {
        const id = ++lastId;
        waiting.set(id, { resolve, reject });
        child.send({ id, wish });
      }),
    async stop() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

export async function startSwarm(options: {
  readonly url: string;
  readonly seed: number;
  readonly clients: readonly ClientPlan[];
  readonly processes: number;
}): Promise<Swarm> {
  const { url, seed, clients } = options;
  const processes = Array.from({ length: options.processes }, startProcess);
  const share = Math.ceil(clients.length / processes.length);
  const askAll = (wish: Wish): Promise<Answer[]> => Promise.all(processes.map((one) => one.ask(wish)));
  await Promise.all(
    processes.map((one, at) =>
      one.ask({
        type: "start",
        plan: { url, seed: seed + at, clients: clients.slice(at * share, (at + 1) * share) },
      }),
    ),
  );
  return {
    behind: async (totals) => sum((await askAll({ type: "behind", totals })) as number[]),
    leave: async (count) => void (await askAll({ type: "leave", count: Math.ceil(count / processes.length) })),
    truth: async () => {
      const truths = (await askAll({ type: "truth" })) as Truth[];
      return {
        sessions: sum(truths.map(({ sessions }) => sessions)),
        users: [...new Set(truths.flatMap(({ users }) => users))],
        present: added(truths.map(({ present }) => present)),
      };
    },
    report: async (totals) => {
      const reports = (await askAll({ type: "report", totals })) as Report[];
      return {
        subscriptions: sum(reports.map(({ subscriptions }) => subscriptions)),
        connects: sum(reports.map(({ connects }) => connects)),
        codes: added(reports.map(({ codes }) => codes)),
        accounts: reports.flatMap(({ accounts }) => accounts),
      };
    },
    end: async () => void (await askAll({ type: "end" })),
    stop: async () => void (await Promise.all(processes.map((one) => one.stop()))),
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

function added(tables: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const table of tables) {
    for (const [key, value] of Object.entries(table)) total[key] = (total[key] ?? 0) + value;
  }
  return total;
}
