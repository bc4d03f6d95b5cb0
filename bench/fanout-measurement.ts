/** One measurement of a fan-out: a publisher at a rate, subscribers that count, the server's CPU time from outside. */
import { type Bench, median } from "./bench.ts";
import { post, type SubscribersReport } from "./native.ts";
import type { MeasuredServer } from "./servers.ts";
import { cpuSeconds, machineCpuSeconds, processTree } from "./usage.ts";

const POLL_MS = 100;
/** Deliveries that stop for this long will not come any more. */
const SILENCE_MS = 1500;

export interface Load {
  /** Requests a second. */
  readonly rate: number;
  readonly seconds: number;
  /** Of a request; `%t` is the time of sending, `%d` counts modulo `modulo`. */
  readonly body: string;
  readonly modulo?: number;
  readonly deliveriesPerRequest: number;
  /** Also how many requests can be in flight. With one, no two publications share a turn of the server. */
  readonly publisherConnections: number;
}

export interface FanoutFigures {
  readonly requestsPerSecond: number;
  readonly deliveries: number;
  readonly deliveriesPerSecond: number;
  /** Of what was acknowledged to the publisher. */
  readonly shareDelivered: number;
  readonly cpuUsPerDelivery: number;
  readonly wireBytesPerDelivery: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Of one core each. */
  readonly serverCpuShare: number;
  readonly loadCpuShare: number;
  readonly publisherCpuShare: number;
  /** What the machine did besides; not small, the figures are doubtful. */
  readonly othersCpuShare: number;
  readonly failed: number;
}

/** Who counts what arrives. */
export interface Counting {
  reset(): Promise<void>;
  report(): Promise<SubscribersReport>;
}

export async function measureFanout(
  bench: Bench,
  server: MeasuredServer,
  subscribers: Counting,
  load: Load,
): Promise<FanoutFigures> {
  const pids = processTree(server.child.pid);
  await subscribers.reset();
  const begun = performance.now();
  const machineBefore = machineCpuSeconds();
  const cpuBefore = cpuSeconds(pids);
  const posted = await post(bench.children, bench.tools, {
    port: server.port,
    path: server.publication.path,
    ...(server.publication.header === undefined ? {} : { header: server.publication.header }),
    body: load.body,
    connections: load.publisherConnections,
    rate: load.rate,
    seconds: load.seconds,
    ...(load.modulo === undefined ? {} : { modulo: load.modulo }),
  });
  const expected = posted.ok * load.deliveriesPerRequest;
  const received = await receivedAll(subscribers, expected);
  const cpu = cpuSeconds(pids) - cpuBefore;
  const others = machineCpuSeconds() - machineBefore - cpu - posted.cpuSeconds - received.cpuSeconds;
  return {
    requestsPerSecond: posted.sent / load.seconds,
    deliveries: received.messages,
    deliveriesPerSecond: received.messages / Math.max(received.spanSeconds, load.seconds),
    shareDelivered: received.messages / expected,
    cpuUsPerDelivery: (cpu * 1e6) / received.messages,
    wireBytesPerDelivery: received.wireBytes / received.messages,
    p50Us: received.p50Us,
    p99Us: received.p99Us,
    serverCpuShare: cpu / received.seconds,
    loadCpuShare: received.cpuSeconds / received.seconds,
    publisherCpuShare: posted.cpuSeconds / posted.seconds,
    othersCpuShare: Math.max(0, others / ((performance.now() - begun) / 1000)),
    failed: posted.failed,
  };
}

/** The round with the middle cost, after one to warm up. */
export async function measureRounds(
  bench: Bench,
  server: MeasuredServer,
  subscribers: Counting,
  load: Omit<Load, "seconds">,
): Promise<FanoutFigures> {
  const { rounds, seconds } = bench.options;
  await measureFanout(bench, server, subscribers, { ...load, seconds: Math.min(2, seconds) });
  const all: FanoutFigures[] = [];
  for (let round = 0; round < rounds; round++) {
    all.push(await measureFanout(bench, server, subscribers, { ...load, seconds }));
  }
  const cost = median(all.map(({ cpuUsPerDelivery }) => cpuUsPerDelivery));
  const distance = (figures: FanoutFigures): number => Math.abs(figures.cpuUsPerDelivery - cost);
  return all.reduce((best, figures) => (distance(figures) < distance(best) ? figures : best));
}

async function receivedAll(subscribers: Counting, expected: number): Promise<SubscribersReport> {
  let report = await subscribers.report();
  let changedAt = performance.now();
  while (report.messages < expected && performance.now() - changedAt < SILENCE_MS) {
    await Bun.sleep(POLL_MS);
    const next = await subscribers.report();
    if (next.messages > report.messages) changedAt = performance.now();
    report = next;
  }
  // Room for what would be delivered twice.
  await Bun.sleep(POLL_MS);
  return subscribers.report();
}
