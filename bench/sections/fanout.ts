/** T1 and T8: 1,000 subscribers of one channel, publications posted one by one over HTTP. */
import type { Bench } from "../bench.ts";
import {
  type Contender,
  connectContender,
  contestRow,
  contestTail,
  cpu,
  measureAll,
  middle,
  p99,
  ratio,
  SATURATED_BELOW,
  stopContenders,
} from "../contest.ts";
import { type MeasuredServer, stampedData, startLongwire, startPeer, startWriteLoop } from "../servers.ts";

const SUBSCRIBERS = 1000;
const DATA_BYTES = 128;
const RATES = [20, 100, 300, 600, 1000];
/** The bare loop, at one write per subscriber and publication, has no core left above this rate. */
const COMPARED_RATE_MAX = 300;

/** Highest CPU time per delivery as a multiple of the bare loop's, by rate. */
const T1_RATIOS: Readonly<Record<number, number>> = { 20: 1.15, 100: 1.1, 300: 1, 600: 0.55, 1000: 0.35 };
const T1_P99_MS = 30;
const T8_P99_RATIO = 1.2;

export async function runFanout(bench: Bench): Promise<void> {
  const compared = RATES.filter((rate) => rate <= COMPARED_RATE_MAX);
  const loop = await connect(bench, await startWriteLoop(bench), compared);
  const longwire = await connect(bench, await startLongwire(bench, "sqlite"), RATES);
  const contenders = [loop, longwire];
  for (const peer of bench.options.peers) {
    if (peer !== "nchan") contenders.push(await connect(bench, await startPeer(bench, peer), compared));
  }
  await measureAll(bench, "fan-out", contenders, RATES);
  await stopContenders(bench, contenders);
  sayFigures(bench, contenders, loop);
  setTargets(bench, longwire, loop);
}

function connect(bench: Bench, server: MeasuredServer, rates: readonly number[]): Promise<Contender> {
  return connectContender(bench, {
    name: server.name,
    server,
    subscription: server.subscription,
    connections: SUBSCRIBERS,
    body: server.publication.body("bench", stampedData(DATA_BYTES)),
    deliveriesPerRequest: SUBSCRIBERS,
    rates,
  });
}

function sayFigures(bench: Bench, contenders: readonly Contender[], loop: Contender): void {
  const rows = contenders.flatMap((contender) =>
    [...contender.figures.keys()].map((rate) => ({
      ...contestRow(contender, rate),
      "x write loop": ratio(contender, rate, loop, Math.min(rate, COMPARED_RATE_MAX), cpu),
      ...contestTail(contender, rate),
    })),
  );
  bench.report.table(`Fan-out: ${SUBSCRIBERS} WebSocket subscribers, ${DATA_BYTES} bytes, one by one over HTTP`, rows);
}

function setTargets(bench: Bench, longwire: Contender, loop: Contender): void {
  for (const rate of RATES) {
    const at = `at ${rate}/s`;
    bench.report.target({
      id: "T1",
      what: `CPU per delivery ${at}, against the write loop${rate > COMPARED_RATE_MAX ? ` at ${COMPARED_RATE_MAX}/s` : ""}`,
      measured: ratio(longwire, rate, loop, Math.min(rate, COMPARED_RATE_MAX), cpu),
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
      measured: middle(longwire, rate, (figures) => figures.requestsPerSecond),
      limit: rate * SATURATED_BELOW,
      good: "at least",
      unit: "/s",
    });
  }
  bench.report.target({
    id: "T8",
    what: "p99 at 20/s, against the write loop",
    measured: ratio(longwire, 20, loop, 20, p99),
    limit: T8_P99_RATIO,
    good: "at most",
    unit: "x",
  });
}
