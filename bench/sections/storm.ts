/**
 * T5 and T6: 15,000 clients with a JWT each connect and subscribe; then their server is killed while they have missed ten publications, and they
 * come back by themselves, as the SDK does. The simulation's figures for the same storm stand beside.
 */
import { type Bench, median } from "../bench.ts";
import { API_KEY, type LongwireServer, startLongwire, userToken } from "../servers.ts";
import { STORM, simulateStorm } from "../simulate/storm.ts";
import { type BackReport, StormClients } from "../storm-clients.ts";

/** `BENCH_STORM_CLIENTS` is for a look at whether this works. */
const CLIENTS = Number(process.env["BENCH_STORM_CLIENTS"] ?? 15_000);
const CHANNELS = 150;
const MISSED = 10;
/** The clients' sockets are closed by the kernel; they have to have heard of it before they can miss something. */
const HEARD_MS = 1000;
const CONNECT_SECONDS_MAX = 2;
const BACK_SECONDS_MAX = 6;
const WORKERS = [1, 2] as const;

interface Round {
  readonly connectSeconds: number;
  readonly restartSeconds: number;
  /** From when the port opens. */
  readonly backSeconds: number;
  readonly report: BackReport;
}

export async function runStorm(bench: Bench): Promise<void> {
  const rows = [];
  for (const workers of WORKERS) {
    const rounds: Round[] = [];
    for (let round = 1; round <= bench.options.rounds; round++) {
      bench.report.say(`storm, ${workersWord(workers)}, round ${round} of ${bench.options.rounds}`);
      rounds.push(await measure(bench, workers));
    }
    rows.push(rowOf(workers, rounds));
    setTargets(bench, workers, rounds);
  }
  bench.report.table(`Storm: ${CLIENTS} clients with a JWT, ${MISSED} publications missed by each`, rows);
}

async function measure(bench: Bench, workers: number): Promise<Round> {
  const flags = { workers: String(workers) };
  const first = await startLongwire(bench, "sqlite", flags);
  const tokens = Array.from({ length: CLIENTS }, (_, number) => userToken(`user-${number}`));
  const clients = await StormClients.connect(bench, { port: first.port, tokens, channels: CHANNELS });
  await clients.hold();
  await kill(bench, first);
  await Bun.sleep(HEARD_MS);
  const second = await startLongwire(bench, "sqlite", flags, first.place);
  await publishAll(second);
  await clients.expect(MISSED);
  await kill(bench, second);
  const killedAt = performance.now();
  await clients.release();
  const third = await startLongwire(bench, "sqlite", flags, first.place);
  const openAt = performance.now();
  const report = await clients.back();
  const backAt = performance.now();
  await clients.stop();
  await bench.children.stop(third.child);
  return {
    connectSeconds: clients.connectSeconds,
    restartSeconds: (openAt - killedAt) / 1000,
    backSeconds: (backAt - openAt) / 1000,
    report,
  };
}

async function kill(bench: Bench, server: LongwireServer): Promise<void> {
  server.child.killNow();
  await bench.children.stop(server.child);
}

async function publishAll(server: LongwireServer): Promise<void> {
  const publications = Array.from({ length: MISSED * CHANNELS }, (_, number) => ({
    channel: `storm-${number % CHANNELS}`,
    data: { number },
  }));
  const response = await fetch(`http://127.0.0.1:${server.port}/api/batch`, {
    method: "POST",
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ publications }),
  });
  const text = await response.text();
  if (response.status !== 200 || text.includes('"error"')) throw new Error(`${response.status}: ${text.slice(0, 200)}`);
}

/** The same storm, simulated: no network in between, nothing else to do. */
function simulated(workers: number, restartSeconds: number) {
  const storm = { ...STORM, nodes: workers, clientsPerNode: CLIENTS / workers, died: "all", engine: "sqlite" } as const;
  const load = { channelsPerClient: 1, missedPerChannel: MISSED, restartMs: restartSeconds * 1000 };
  return simulateStorm({ ...storm, ...load, background: 0, clientRoundTripMs: 0.1 }, 1);
}

function rowOf(workers: number, rounds: readonly Round[]) {
  const middle = (value: (round: Round) => number): number => median(rounds.map(value));
  const restart = middle(({ restartSeconds }) => restartSeconds);
  const prediction = simulated(workers, restart);
  const half = middle(({ report }) => report.p50Us) / 1e6;
  const late = middle(({ report }) => report.p99Us) / 1e6;
  return {
    server: workersWord(workers),
    "all connected s": middle(({ connectSeconds }) => connectSeconds),
    "restart s": restart,
    "all back after the port opened s": middle(({ backSeconds }) => backSeconds),
    "attempts each": middle(({ report }) => report.attempts) / CLIENTS,
    "lost or doubled": Math.max(...rounds.map(({ report }) => report.gaps + report.repeats + report.unrecovered)),
    "half back s": half,
    "simulated s": prediction.halfBackMs / 1000,
    "x simulated (half)": (half * 1000) / prediction.halfBackMs,
    "99 % back s": late,
    "simulated 99 % s": prediction.p99BackMs / 1000,
    "x simulated (99 %)": (late * 1000) / prediction.p99BackMs,
  };
}

function setTargets(bench: Bench, workers: number, rounds: readonly Round[]): void {
  const what = workersWord(workers);
  if (workers === 1) {
    bench.report.target({
      id: "T5",
      what: `${CLIENTS} clients connect with a JWT and subscribe, ${what}`,
      measured: median(rounds.map(({ connectSeconds }) => connectSeconds)),
      limit: CONNECT_SECONDS_MAX,
      good: "at most",
      unit: "s",
    });
  }
  bench.report.target({
    id: "T6",
    what: `all back with everything after the port opened, ${what}`,
    measured: median(rounds.map(({ backSeconds }) => backSeconds)),
    limit: BACK_SECONDS_MAX,
    good: "at most",
    unit: "s",
  });
  bench.report.target({
    id: "T6",
    what: `lost, doubled or not recovered, ${what}`,
    measured: Math.max(...rounds.map(({ report }) => report.gaps + report.repeats + report.unrecovered)),
    limit: 0,
    good: "at most",
    unit: "",
  });
}

function workersWord(workers: number): string {
  return workers === 1 ? "one process" : `${workers} workers`;
}
