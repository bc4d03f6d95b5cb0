/**
 * T2: server-sent events, HTTP streams and TCP, 1,000 subscribers, publications posted one by one over HTTP; with one channel
 * per client and with eight. The write loop sends events to the same instrument: what it writes hardly differs in size.
 */
import type { Bench } from "../bench.ts";
import {
  type Contender,
  connectContender,
  contestRow,
  contestTail,
  cpu,
  measureAll,
  ratio,
  stopContenders,
} from "../contest.ts";
import type { Subscription } from "../native.ts";
import { hasNchan, NCHAN_HINT, NCHAN_SUBSCRIPTIONS, startNchan } from "../nchan.ts";
import { type MeasuredServer, stampedData, startLongwire, startWriteLoop } from "../servers.ts";
import { subscribedOver, TRANSPORT_NAMES, type Transport } from "../transports.ts";

const SUBSCRIBERS = 1000;
const DATA_BYTES = 128;
/** Publications a second. */
const RATES = [20, 100, 300];
const EIGHT_CHANNEL_RATES = [20, 100];
/** Requests a second, each of them a publication to all eight channels. */
const AT_ONCE_RATE = 20;
const CHANNELS = Array.from({ length: 8 }, (_, index) => `eight-${index}`);
const STREAMING = ["sse", "stream", "tcp"] as const satisfies readonly Transport[];
const EVENTS: Subscription = { reading: "sse", path: "/" };

const T2_RATIOS: Readonly<Record<number, number>> = { 20: 1.2, 100: 1.1 };

interface Field {
  readonly loop: Contender;
  /** By transport. */
  readonly nchan: Map<string, Contender>;
  readonly single: { transport: Transport; contender: Contender }[];
  readonly oneOfEight: Contender[];
  readonly eightAtOnce: Contender[];
}

export async function runStreams(bench: Bench): Promise<void> {
  const field = await gather(bench);
  const all = [
    field.loop,
    ...field.single.map(({ contender }) => contender),
    ...field.nchan.values(),
    ...field.oneOfEight,
    ...field.eightAtOnce,
  ];
  await measureAll(bench, "streams", all, [...new Set(all.flatMap(({ rates }) => rates))]);
  await stopContenders(bench, all);
  const rows = all.flatMap((contender) =>
    [...contender.figures.keys()].map((rate) => ({
      ...contestRow(contender, rate),
      "x write loop": againstLoop(field, contender, rate),
      ...contestTail(contender, rate),
    })),
  );
  bench.report.table(`Streams: ${SUBSCRIBERS} subscribers, ${DATA_BYTES} bytes, one by one over HTTP`, rows);
  setTargets(bench, field);
}

async function gather(bench: Bench): Promise<Field> {
  const loopRates = [...RATES, AT_ONCE_RATE * CHANNELS.length].toSorted((a, b) => a - b);
  const loop = await connectLoop(bench, loopRates);
  const field: Field = { loop, nchan: new Map(), single: [], oneOfEight: [], eightAtOnce: [] };
  for (const transport of STREAMING) {
    const server = await startLongwire(bench, "sqlite");
    const contender = await connect(bench, server, `Longwire, ${TRANSPORT_NAMES[transport]}`, {
      subscription: subscribedOver(transport, server, ["bench"]),
      body: server.publication.body("bench", stampedData(DATA_BYTES)),
      rates: RATES,
    });
    field.single.push({ transport, contender });
    if (transport === "tcp") continue;
    const eight = await connect(bench, server, `${contender.name}, one of 8 channels`, {
      subscription: subscribedOver(transport, server, CHANNELS),
      body: server.publication.body("eight-%d", stampedData(DATA_BYTES)),
      modulo: CHANNELS.length,
      rates: EIGHT_CHANNEL_RATES,
    });
    field.oneOfEight.push(eight);
    const body = `{"channels":${JSON.stringify(CHANNELS)},"data":${stampedData(DATA_BYTES)}}`;
    const deliveriesPerRequest = SUBSCRIBERS * CHANNELS.length;
    // The same clients, asked in another way.
    const name = `${contender.name}, all of 8 channels`;
    const rates = [AT_ONCE_RATE];
    field.eightAtOnce.push({ ...eight, name, body, modulo: 1, deliveriesPerRequest, rates, figures: new Map() });
  }
  if (!bench.options.peers.includes("nchan")) return field;
  if (!hasNchan()) {
    bench.report.say(NCHAN_HINT);
    return field;
  }
  for (const transport of ["sse", "stream"] as const) {
    const server = await startNchan(bench);
    const contender = await connect(bench, server, `nchan, ${TRANSPORT_NAMES[transport]}`, {
      subscription: NCHAN_SUBSCRIPTIONS[transport],
      body: server.publication.body("bench", stampedData(DATA_BYTES)),
      rates: RATES,
    });
    field.nchan.set(transport, contender);
  }
  return field;
}

async function connectLoop(bench: Bench, rates: readonly number[]): Promise<Contender> {
  const server = await startWriteLoop(bench);
  const body = server.publication.body("bench", stampedData(DATA_BYTES));
  return connect(bench, server, server.name, { subscription: EVENTS, body, rates });
}

type Differences = Pick<Contender, "subscription" | "body" | "rates" | "modulo">;

function connect(bench: Bench, server: MeasuredServer, name: string, differences: Differences): Promise<Contender> {
  const same = { name, server, connections: SUBSCRIBERS, deliveriesPerRequest: SUBSCRIBERS };
  return connectContender(bench, { ...same, ...differences });
}

/** The loop knows no request that holds eight publications: it is asked as often as there are publications. */
function againstLoop({ loop }: Field, contender: Contender, rate: number): number {
  return ratio(contender, rate, loop, (rate * contender.deliveriesPerRequest) / SUBSCRIBERS, cpu);
}

function setTargets(bench: Bench, field: Field): void {
  for (const { contender } of field.single) setLoopTargets(bench, field, contender);
  for (const contender of field.oneOfEight) setLoopTargets(bench, field, contender);
  for (const { transport, contender } of field.single) {
    const nchan = field.nchan.get(transport);
    if (nchan === undefined) continue;
    for (const rate of Object.keys(T2_RATIOS).map(Number)) {
      bench.report.target({
        id: "T2",
        what: `${contender.name}: CPU per delivery at ${rate}/s, against nchan`,
        measured: ratio(contender, rate, nchan, rate, cpu),
        limit: 1,
        good: "at most",
        unit: "x",
      });
    }
  }
}

function setLoopTargets(bench: Bench, field: Field, contender: Contender): void {
  for (const [rate, limit] of Object.entries(T2_RATIOS)) {
    bench.report.target({
      id: "T2",
      what: `${contender.name}: CPU per delivery at ${rate}/s, against the write loop`,
      measured: againstLoop(field, contender, Number(rate)),
      limit,
      good: "at most",
      unit: "x",
    });
  }
  const rounds = [...contender.figures.values()].flat();
  bench.report.target({
    id: "T2",
    what: `${contender.name}: delivered, worst round`,
    measured: Math.min(...rounds.map(({ shareDelivered }) => shareDelivered)) * 100,
    limit: 100,
    good: "at least",
    unit: "%",
  });
}
