/**
 * T9: two workers against one process. On two cores the load generator takes its share of both, so rates would say how the kernel divides the
 * machine; what is measured is CPU time. Capacity is reached when the busiest process has a core for itself and it is full, or when all cores are:
 * deliveries divided by the CPU time of the busiest one, or by that of all together and the number of cores, whichever is less.
 *
 * And the way through the supervisor, which holds the engine: CPU time of a publication with two workers, less that with one process.
 */
import { type Bench, median } from "../bench.ts";
import { type FanoutFigures, measureFanout } from "../fanout-measurement.ts";
import { post } from "../native.ts";
import { type LongwireServer, stampedData, startLongwire } from "../servers.ts";
import { StormClients } from "../storm-clients.ts";
import { processTree, threadSeconds } from "../usage.ts";

const WORKERS = 2;
const CORES = 2;
/** For both, those of one process and those of the workers: connections are dealt out by chance, and many even that out. */
const SUBSCRIBERS = 1000;
/**
 * At the last one a process begins to join publications in one write, because it is nearly full; two workers that are half empty do not need to. It is shown, but what a
 * delivery costs there says nothing of what either could do.
 */
const FANOUT_RATES = [20, 100, 300] as const;
const COMPARED_RATE_MAX = 100;
const CAPACITY_RATIO = 1.7;
const HOP_RATES = [20, 100, 1000, 0] as const;
const HOP_US_MAX = 20;
/** Some on each worker, so that publications go to both. */
const HOP_SUBSCRIBERS = 8;
const DATA_BYTES = 128;
/** Enough that publishers are on both workers. */
const PUBLISHER_CONNECTIONS = 64;
const SETTLE_MS = 1500;
const WARM_UP_SECONDS = 1;

interface Contestant {
  readonly name: string;
  readonly server: LongwireServer;
  readonly clients: StormClients;
}

interface Shared {
  readonly fanout: FanoutFigures;
  /** CPU seconds of each process, the busiest first. */
  readonly seconds: readonly number[];
  readonly amiss: number;
}

export async function runWorkers(bench: Bench): Promise<void> {
  await runCapacity(bench);
  await runHop(bench);
}

async function startContestant(bench: Bench, workers: number, subscribers: number): Promise<Contestant> {
  const server = await startLongwire(bench, "sqlite", { workers: String(workers) });
  const tokens = Array.from({ length: subscribers }, () => "");
  const clients = await StormClients.connect(bench, { port: server.port, tokens, channels: 1 });
  await Bun.sleep(SETTLE_MS);
  return { name: workers === 1 ? "one process" : `${workers} workers`, server, clients };
}

async function stopContestants(bench: Bench, contestants: readonly Contestant[]): Promise<void> {
  for (const { clients, server } of contestants) {
    await clients.stop();
    await bench.children.stop(server.child);
  }
}

async function runCapacity(bench: Bench): Promise<void> {
  const one = await startContestant(bench, 1, SUBSCRIBERS);
  const two = await startContestant(bench, WORKERS, SUBSCRIBERS);
  const rows = [];
  const ratios: number[] = [];
  let amiss = 0;
  for (const contestant of [one, two]) await share(bench, contestant, 100, WARM_UP_SECONDS);
  for (const rate of FANOUT_RATES) {
    const found: { one: Shared; two: Shared }[] = [];
    for (let round = 1; round <= bench.options.rounds; round++) {
      bench.report.say(`workers, ${rate} publications/s, round ${round} of ${bench.options.rounds}`);
      const { seconds } = bench.options;
      found.push({ one: await share(bench, one, rate, seconds), two: await share(bench, two, rate, seconds) });
    }
    for (const [name, of] of [
      ["one", one],
      ["two", two],
    ] as const) {
      rows.push(
        capacityRow(
          of.name,
          rate,
          found.map((each) => each[name]),
        ),
      );
    }
    ratios.push(median(found.map((each) => capacity(each.two) / capacity(each.one))));
    amiss = Math.max(amiss, ...found.map(({ two: { amiss: count } }) => count));
  }
  await stopContestants(bench, [one, two]);
  bench.report.table(`Workers: ${SUBSCRIBERS} WebSocket subscribers, ${DATA_BYTES} bytes, one by one over HTTP`, rows);
  for (const [at, rate] of FANOUT_RATES.entries()) {
    if (rate > COMPARED_RATE_MAX) continue;
    bench.report.target({
      id: "T9",
      what: `capacity of ${WORKERS} workers on ${CORES} cores against one process, at ${rate}/s`,
      measured: ratios[at] ?? Number.NaN,
      limit: CAPACITY_RATIO,
      good: "at least",
      unit: "x",
    });
  }
  bench.report.target({
    id: "T9",
    what: "publications lost, doubled or out of order with workers",
    measured: amiss,
    limit: 0,
    good: "at most",
    unit: "",
  });
}

async function share(bench: Bench, { server, clients }: Contestant, rate: number, seconds: number): Promise<Shared> {
  const pids = processTree(server.child.pid);
  const before = pids.map((pid) => threadSeconds([pid]));
  const fanout = await measureFanout(bench, server, clients, {
    rate,
    seconds,
    body: server.publication.body("storm-0", stampedData(DATA_BYTES)),
    deliveriesPerRequest: SUBSCRIBERS,
    publisherConnections: PUBLISHER_CONNECTIONS,
  });
  const taken = pids.map((pid, at) => threadSeconds([pid]) - (before[at] ?? 0));
  const { repeats, gaps, lost } = await clients.report();
  return { fanout, seconds: taken.toSorted((a, b) => b - a), amiss: repeats + gaps + lost };
}

/** Deliveries per second when the busiest process, or the machine, is full. */
function capacity({ fanout, seconds }: Shared): number {
  const [busiest = Number.NaN] = seconds;
  const all = seconds.reduce((sum, each) => sum + each, 0);
  return fanout.deliveries / Math.max(busiest, all / CORES);
}

function capacityRow(name: string, rate: number, found: readonly Shared[]) {
  const of = (value: (shared: Shared) => number): number => median(found.map(value));
  const all = (shared: Shared): number => shared.seconds.reduce((sum, each) => sum + each, 0);
  return {
    server: name,
    "rate/s": rate,
    "delivered %": of(({ fanout }) => fanout.shareDelivered) * 100,
    "CPU us/delivery": of((shared) => (all(shared) * 1e6) / shared.fanout.deliveries),
    "of the busiest": of(({ seconds: [busiest = 0], fanout }) => (busiest * 1e6) / fanout.deliveries),
    "deliveries/s when full": of(capacity),
    "p50 ms": of(({ fanout }) => fanout.p50Us) / 1000,
    "p99 ms": of(({ fanout }) => fanout.p99Us) / 1000,
    "load CPU %": of(({ fanout }) => fanout.loadCpuShare) * 100,
    "lost, doubled, out of order": Math.max(...found.map(({ amiss }) => amiss)),
  };
}

async function runHop(bench: Bench): Promise<void> {
  const one = await startContestant(bench, 1, HOP_SUBSCRIBERS);
  const two = await startContestant(bench, WORKERS, HOP_SUBSCRIBERS);
  const rows = [];
  for (const contestant of [one, two]) await publicationUs(bench, contestant, 100, WARM_UP_SECONDS);
  for (const rate of HOP_RATES) {
    const found: { one: number; two: number }[] = [];
    for (let round = 1; round <= bench.options.rounds; round++) {
      bench.report.say(`supervisor, ${rateWord(rate)}, round ${round} of ${bench.options.rounds}`);
      const { seconds } = bench.options;
      found.push({
        one: await publicationUs(bench, one, rate, seconds),
        two: await publicationUs(bench, two, rate, seconds),
      });
    }
    const hopUs = median(found.map((each) => each.two - each.one));
    rows.push({
      publications: rateWord(rate),
      "one process, CPU us each": median(found.map((each) => each.one)),
      [`${WORKERS} workers, CPU us each`]: median(found.map((each) => each.two)),
      "more by us": hopUs,
    });
    bench.report.target({
      id: "hop",
      what: `CPU of a publication more with ${WORKERS} workers, ${rateWord(rate)}`,
      measured: hopUs,
      limit: HOP_US_MAX,
      good: "at most",
      unit: "us",
    });
  }
  await stopContestants(bench, [one, two]);
  bench.report.table(`The way through the supervisor: ${HOP_SUBSCRIBERS} subscribers, some on each worker`, rows);
}

/** CPU time of all processes of the server for one publication, what they take for nothing left out. */
async function publicationUs(bench: Bench, { server }: Contestant, rate: number, seconds: number): Promise<number> {
  const pids = processTree(server.child.pid);
  const idleBefore = threadSeconds(pids);
  await Bun.sleep(1000);
  const idlePerSecond = threadSeconds(pids) - idleBefore;
  const { header } = server.publication;
  const before = threadSeconds(pids);
  const posted = await post(bench.children, bench.tools, {
    port: server.port,
    path: server.publication.path,
    ...(header === undefined ? {} : { header }),
    body: server.publication.body("storm-0", stampedData(DATA_BYTES)),
    connections: PUBLISHER_CONNECTIONS,
    rate,
    seconds,
  });
  if (posted.failed > 0) throw new Error(`${posted.failed} publishes failed: ${posted.failure}`);
  return ((threadSeconds(pids) - before - idlePerSecond * posted.seconds) * 1e6) / posted.ok;
}

function rateWord(rate: number): string {
  return rate === 0 ? "as many as get answered" : `${rate}/s`;
}
