/** T1 and T8: 1,000 subscribers of one channel, publications posted one by one over HTTP. */
import { type Bench, median } from "../bench.ts";
import { type FanoutFigures, measureFanout } from "../fanout-measurement.ts";
import { Subscribers } from "../native.ts";
import { type MeasuredServer, stampedData, startLongwire, startPeer, startWriteLoop } from "../servers.ts";
import { processTree, residentBytes } from "../usage.ts";

const SUBSCRIBERS = 1000;
const DATA_BYTES = 128;
const RATES = [20, 100, 300, 600, 1000];
/** A peer that falls below this share of a rate is saturated and not asked for more. */
const SATURATED_BELOW = 0.95;
/** The bare loop, at one write per subscriber and publication, has no core left above this rate. */
const COMPARED_RATE_MAX = 300;
const SETTLE_MS = 1500;
/** Enough that a server that stalls for a moment still meets requests evenly spaced. */
const PUBLISHER_CONNECTIONS = 64;

/** Highest CPU time per delivery as a multiple of the bare loop's, by rate. */
const T1_RATIOS: Readonly<Record<number, number>> = { 20: 1.15, 100: 1.1, 300: 1, 600: 0.55, 1000: 0.35 };
const T1_P99_MS = 30;
const T8_P99_RATIO = 1.2;

interface Contender {
  readonly server: MeasuredServer;
  readonly subscribers: Subscribers;
  readonly rateMax: number;
  readonly bytesPerConnection: number;
  readonly figures: Map<number, FanoutFigures[]>;
  saturated: boolean;
}

async function connect(bench: Bench, server: MeasuredServer, rateMax: number): Promise<Contender> {
  const before = residentBytes(processTree(server.child.pid));
  const { children, tools } = bench;
  const subscribers = await Subscribers.connect(children, tools, server.port, SUBSCRIBERS, server.subscription);
  await Bun.sleep(SETTLE_MS);
  const bytesPerConnection = (residentBytes(processTree(server.child.pid)) - before) / SUBSCRIBERS;
  return { server, subscribers, rateMax, bytesPerConnection, figures: new Map(), saturated: false };
}

export async function runFanout(bench: Bench): Promise<void> {
  const loop = await connect(bench, await startWriteLoop(bench), COMPARED_RATE_MAX);
  const longwire = await connect(bench, await startLongwire(bench, "sqlite"), Infinity);
  const contenders = [loop, longwire];
  for (const peer of bench.options.peers) {
    contenders.push(await connect(bench, await startPeer(bench, peer), COMPARED_RATE_MAX));
  }
  await measure(bench, contenders, { rate: 100, seconds: 1 });
  for (const contender of contenders) contender.figures.clear();
  for (let round = 1; round <= bench.options.rounds; round++) {
    for (const rate of RATES) {
      bench.report.say(`fan-out, round ${round} of ${bench.options.rounds}, ${rate} publications/s`);
      await measure(bench, contenders, { rate, seconds: bench.options.seconds });
    }
  }
  for (const { server, subscribers } of contenders) {
    await subscribers.stop();
    await bench.children.stop(server.child);
  }
  sayFigures(bench, contenders, loop);
  setTargets(bench, longwire, loop);
}

/** One after the other at the same rate, so that what compares is close in time. */
async function measure(bench: Bench, contenders: readonly Contender[], pace: { rate: number; seconds: number }) {
  for (const contender of contenders) {
    if (pace.rate > contender.rateMax || contender.saturated) continue;
    const figures = await measureFanout(bench, contender.server, contender.subscribers, {
      ...pace,
      channel: "bench",
      channels: 1,
      data: stampedData(DATA_BYTES),
      subscribersPerChannel: SUBSCRIBERS,
      publisherConnections: PUBLISHER_CONNECTIONS,
    });
    const known = contender.figures.get(pace.rate);
    if (known === undefined) contender.figures.set(pace.rate, [figures]);
    else known.push(figures);
  }
}

function middle(contender: Contender, rate: number, value: (figures: FanoutFigures) => number): number {
  return median((contender.figures.get(rate) ?? []).map(value));
}

/** Each round's ratio, then their median: the machine's drift between rounds drops out. */
function ratio(contender: Contender, loop: Contender, rate: number, value: (figures: FanoutFigures) => number): number {
  const yardsticks = loop.figures.get(Math.min(rate, COMPARED_RATE_MAX)) ?? [];
  const ratios = (contender.figures.get(rate) ?? []).map((figures, round) => {
    const yardstick = yardsticks[round];
    return yardstick === undefined ? Number.NaN : value(figures) / value(yardstick);
  });
  return median(ratios);
}

const cpu = (figures: FanoutFigures): number => figures.cpuUsPerDelivery;
const p99 = (figures: FanoutFigures): number => figures.p99Us;

function sayFigures(bench: Bench, contenders: readonly Contender[], loop: Contender): void {
  const rows = contenders.flatMap((contender) =>
    [...contender.figures.keys()].map((rate) => {
      const of = (value: (figures: FanoutFigures) => number): number => middle(contender, rate, value);
      const published = of((figures) => figures.publishedPerSecond);
      return {
        server: contender.server.name,
        "rate/s": rate,
        "published/s": published < rate * SATURATED_BELOW ? `${Math.round(published)} saturated` : `${rate}`,
        "deliveries/s": of((figures) => figures.deliveriesPerSecond),
        "delivered %": of((figures) => figures.shareDelivered) * 100,
        "CPU us/delivery": of(cpu),
        "x write loop": ratio(contender, loop, rate, cpu),
        "p50 ms": of((figures) => figures.p50Us) / 1000,
        "p99 ms": of(p99) / 1000,
        "KB/connection": contender.bytesPerConnection / 1024,
        "server CPU %": of((figures) => figures.serverCpuShare) * 100,
        "load CPU %": of((figures) => figures.loadCpuShare) * 100,
        "publisher CPU %": of((figures) => figures.publisherCpuShare) * 100,
        "others CPU %": of((figures) => figures.othersCpuShare) * 100,
      };
    }),
  );
  bench.report.table(`Fan-out: ${SUBSCRIBERS} WebSocket subscribers, ${DATA_BYTES} bytes, one by one over HTTP`, rows);
}

function setTargets(bench: Bench, longwire: Contender, loop: Contender): void {
  for (const rate of RATES) {
    const at = `at ${rate}/s`;
    bench.report.target({
      id: "T1",
      what: `CPU per delivery ${at}, against the write loop${rate > COMPARED_RATE_MAX ? ` at ${COMPARED_RATE_MAX}/s` : ""}`,
      measured: ratio(longwire, loop, rate, cpu),
      limit: T1_RATIOS[rate] ?? 1,
      good: "at most",
      unit: "x",
    });
    const delivered = longwire.figures.get(rate) ?? [];
    bench.report.target({
      id: "T1",
      what: `delivered ${at}, worst round`,
      measured: Math.min(...delivered.map(({ shareDelivered }) => shareDelivered)) * 100,
      limit: 100,
      good: "at least",
      unit: "%",
    });
    if (rate <= COMPARED_RATE_MAX) continue;
    bench.report.target({
      id: "T1",
      what: `p99 ${at}`,
      measured: middle(longwire, rate, p99) / 1000,
      limit: T1_P99_MS,
      good: "at most",
      unit: "ms",
    });
    bench.report.target({
      id: "T1",
      what: `published ${at}`,
      measured: middle(longwire, rate, (figures) => figures.publishedPerSecond),
      limit: rate * SATURATED_BELOW,
      good: "at least",
      unit: "/s",
    });
  }
  bench.report.target({
    id: "T8",
    what: "p99 at 20/s, against the write loop",
    measured: ratio(longwire, loop, 20, p99),
    limit: T8_P99_RATIO,
    good: "at most",
    unit: "x",
  });
}
