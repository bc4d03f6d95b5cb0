/**
 * One storm: a system, its clients and publishers; something is broken again and again; then it is seen whether what is promised was kept.
 *
 *     const outcome = await runStorm(scenario, SHORT, seed);
 *     outcome.broken                     // sentences; none, if all is as promised
 */
import { Random } from "@longwire/protocol/test/random";
import { signToken } from "longwire/test/server";
import { until } from "../support/wait.ts";
import { type Load, startLoad } from "./load.ts";
import type { ClientAccount, ClientPlan, Report, Totals } from "./messages.ts";
import { openPages, type Pages } from "./pages.ts";
import type { Scenario } from "./scenarios.ts";
import { connectionsOf, deviations, followedChannels, type History, historyOf } from "./state.ts";
import { startSwarm, type Swarm } from "./swarm.ts";
import { startSystem, type System } from "./systems.ts";
import { type Figures, judge } from "./verdict.ts";

export interface Size {
  readonly isShort: boolean;
  readonly channels: number;
  readonly perSecond: number;
  readonly clients: number;
  readonly processes: number;
  /** Pages of the SDK, and roamers. */
  readonly pages: number;
  /** Before the first, between two and after the last strike. */
  readonly calmMs: number;
}

export const SHORT: Size = {
  isShort: true,
  channels: 100,
  perSecond: 500,
  clients: 300,
  processes: 1,
  pages: 5,
  calmMs: 700,
};
export const FULL: Size = {
  isShort: false,
  channels: 200,
  perSecond: 2000,
  clients: 2000,
  processes: 2,
  pages: 10,
  calmMs: 3000,
};

export interface Outcome {
  readonly scenario: Scenario;
  readonly times: number;
  readonly figures: Figures;
  /** Publishes that were answered `unavailable`. */
  readonly refused: number;
  /** From the end of the storm until everybody had everything. */
  readonly caughtUpMs: number;
  /** From then until presence, users and counts were those of the clients that are there. */
  readonly trueAfterMs: number;
  /** What is left in Redis and in the server when all have gone. */
  readonly leaked: number;
  readonly report: Report;
  /** Accounts that have something to tell, as sentences. */
  readonly remarks: readonly string[];
  readonly broken: readonly string[];
}

/** Presence and users of what died: the lease, the delay of leaving, and something for a busy machine. */
const TRUE_MS = 30_000;
const CAUGHT_UP_MS = 90_000;
/** Of a hundred clients, so many go in the storm and never come back. */
const LEAVING_PERCENT = 5;
const USERS = 40;
const PAGED_CHANNELS = 3;
const GOODBYE_MS = 1500;

interface Run {
  readonly scenario: Scenario;
  readonly size: Size;
  readonly seed: number;
  readonly random: Random;
  readonly system: System;
  readonly channels: readonly string[];
  readonly once: string;
  readonly broken: string[];
}

/** Undefined: not possible on this machine. */
export async function runStorm(scenario: Scenario, size: Size, seed: number): Promise<Outcome | undefined> {
  const system = await startSystem(scenario.system, scenario.options ?? {});
  if (system === undefined) return undefined;
  const channels = Array.from({ length: size.channels }, (_, at) => `storm:${at}`);
  const random = new Random(seed);
  let swarm: Swarm | undefined;
  try {
    const connectionsBefore = await connectionsOf(system);
    const clients = await planClients(channels, size.clients, random);
    swarm = await startSwarm({ url: clientUrl(system), seed, clients, processes: size.processes });
    const run: Run = { scenario, size, seed, random, system, channels, once: "storm-once:1", broken: [] };
    return await weather(run, swarm, connectionsBefore);
  } finally {
    await swarm?.stop();
    await system.stop();
  }
}

const clientUrl = ({ url }: System): string => `${url.replace("http", "ws")}/ws`;

async function planClients(channels: readonly string[], count: number, random: Random): Promise<ClientPlan[]> {
  const users = Array.from({ length: USERS }, (_, at) => `user${at}`);
  const tokens = await Promise.all(users.map((sub) => signToken({ sub })));
  return Array.from({ length: count }, (_, at) => {
    const first = channels[at % channels.length] ?? "";
    const second = random.pick(channels);
    const user = random.chance(50) ? random.below(USERS) : undefined;
    return {
      channels: random.chance(30) && second !== first ? [first, second] : [first],
      user: user === undefined ? undefined : users[user],
      token: user === undefined ? undefined : tokens[user],
    };
  });
}

async function weather(run: Run, swarm: Swarm, connectionsBefore: number): Promise<Outcome> {
  const { scenario, size, seed, random, system, channels, once, broken } = run;
  const { url, tcpPort } = system;
  const paged = channels.slice(0, PAGED_CHANNELS);
  const pages = openPages({ url, tcpPort, channels: paged, pages: size.pages, roamers: size.pages, seed });
  await until("all are subscribed", async () => pages.isSubscribed() && (await swarm.behind({})) === 0);
  const load = startLoad({ url, channels, perSecond: size.perSecond, once });
  await Bun.sleep(size.calmMs);

  const times = scenario.times[size.isShort ? 0 : 1] || 1;
  const leaving = Math.ceil((size.clients * LEAVING_PERCENT) / 100 / times);
  for (let time = 0; time < times; time++) {
    if (time > 0) await scenario.mend?.(system);
    await swarm.leave(leaving);
    await scenario.strike(system, random);
    await Bun.sleep(size.calmMs);
  }
  const endedAt = performance.now();
  await within(CAUGHT_UP_MS, load.stop(), broken, "publishes were not acknowledged after the storm");
  if (scenario.loses !== "never") await sayGoodbye(load, swarm);
  const totals = totalsOf(load);
  await arrive(totals, swarm, pages, broken);
  const caughtUpMs = performance.now() - endedAt;
  await pages.stop();

  const trueAfterMs = await becomeTrue(run, swarm);
  const report = await swarm.report(totals);
  const stored = new Map<string, History>();
  for (const channel of [...channels, once]) stored.set(channel, await historyOf(url, channel));
  await swarm.end();
  const leaked = await leaksOf(run, connectionsBefore);

  const storedOnce = stored.get(once) ?? [];
  stored.delete(once);
  const accounts = [...report.accounts, ...pages.accounts(totals)];
  const { acknowledged, repeated } = load;
  const figures = judge({ accounts, acknowledged, repeated, stored, once: load.once, storedOnce });
  broken.push(...complaintsOf(scenario, figures, load, report), ...(leaked.length > 0 ? leaked : []));
  const { refused } = load;
  const remarks = remarksOf(accounts);
  return { scenario, times, figures, refused, caughtUpMs, trueAfterMs, leaked: leaked.length, report, remarks, broken };
}

function remarksOf(accounts: readonly ClientAccount[]): string[] {
  return accounts
    .filter(({ missing, doubled, disordered, told }) => missing.length + doubled + disordered + told.length > 0)
    .map(({ who, channel, last, missing, doubled, disordered, told }) => {
      const holes = missing.map(({ from, to, isTold }) => `${from}-${to}${isTold ? " told" : ""}`).join(" ");
      return `${who} ${channel}: last ${last}, missing ${holes || "none"}, doubled ${doubled}, disordered ${disordered}, told after ${told.join(" ") || "nothing"}`;
    });
}

/**
 * Who is told of a loss goes on at the top, and what lies before it will not come: the next publication shows that it goes on. A second one, since the
 * first may be what the loss is found out by.
 */
async function sayGoodbye(load: Load, swarm: Swarm): Promise<void> {
  for (let round = 0; round < 2; round++) {
    await until("all are subscribed again", async () => (await swarm.behind({})) === 0);
    await Bun.sleep(GOODBYE_MS);
    await load.sayGoodbye();
  }
}

function totalsOf({ acknowledged }: Load): Totals {
  return Object.fromEntries([...acknowledged].map(([channel, list]) => [channel, list.length]));
}

async function within(limitMs: number, waiting: Promise<void>, broken: string[], complaint: string): Promise<void> {
  const isLate = await Promise.race([waiting.then(() => false), Bun.sleep(limitMs).then(() => true)]);
  if (isLate) broken.push(complaint);
}

async function arrive(totals: Totals, swarm: Swarm, pages: Pages, broken: string[]): Promise<void> {
  let behind = 0;
  await until(
    "everybody has everything",
    async () => {
      behind = (await swarm.behind(totals)) + pages.behind(totals);
      return behind === 0;
    },
    CAUGHT_UP_MS,
  ).catch(() => broken.push(`${behind} subscriptions never came to the end`));
}

/** Milliseconds until what the server says of its clients is true. */
async function becomeTrue({ system, channels, broken }: Run, swarm: Swarm): Promise<number> {
  const startedAt = performance.now();
  const truth = await swarm.truth();
  let wrong: string[] = [];
  await until(
    "the counts are true",
    async () => {
      wrong = await deviations(system.url, channels, truth);
      if (wrong.length > 0) await Bun.sleep(200);
      return wrong.length === 0;
    },
    TRUE_MS,
  ).catch(() => broken.push(...wrong.slice(0, 5)));
  return performance.now() - startedAt;
}

/** What is left after everybody has gone. */
async function leaksOf({ system, channels }: Run, connectionsBefore: number): Promise<string[]> {
  let left: string[] = [];
  await until(
    "nothing is left",
    async () => {
      left = await deviations(system.url, channels, { sessions: 0, users: [], present: {} });
      const followed = (await followedChannels(system)).filter((name) => name.includes("storm"));
      if (followed.length > 0) left.push(`${followed.length} channels are still followed in Redis: ${followed[0]}`);
      const connections = await connectionsOf(system);
      if (connections > connectionsBefore)
        left.push(`${connections} connections to Redis, ${connectionsBefore} before`);
      if (left.length > 0) await Bun.sleep(200);
      return left.length === 0;
    },
    TRUE_MS,
  ).catch(() => undefined);
  return left.map((text) => `after all have gone: ${text}`);
}

function complaintsOf(scenario: Scenario, figures: Figures, load: Load, { codes }: Report): string[] {
  const { lost, doubled, disordered, toldInVain, gone, half, told } = figures;
  const complaints: string[] = [];
  const complain = (count: number, text: string): void => void (count > 0 && complaints.push(`${count} ${text}`));
  complain(lost, "publications did not reach somebody");
  complain(doubled, "came twice");
  complain(disordered, "came out of order");
  complain(toldInVain, "times somebody was told of a loss that was none");
  complain(half, "are stored half");
  complain(codes["offset that does not follow"] ?? 0, "offsets did not follow the one before");
  complain(codes["message without subscription"] ?? 0, "messages came before their subscription was answered");
  if (scenario.loses === "never") {
    complain(gone, "acknowledged publications are gone");
    complain(told, "times somebody was told of a loss");
  }
  if (scenario.loses === "always" && gone === 0) complaints.push("nothing was lost: the storm was none");
  if (scenario.refuses === true && load.refused === 0) complaints.push("no publish was refused: the storm was none");
  const odd = new Set(load.odd);
  if (odd.size > 0)
    complaints.push(`publishers were answered ${load.odd.length} times: ${[...odd].slice(0, 3).join("; ")}`);
  return complaints;
}
