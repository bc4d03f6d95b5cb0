/** What a connection and a delivery cost on each transport, in one table: for choosing between them. */
import type { Bench } from "../bench.ts";
import { type FanoutFigures, measureRounds } from "../fanout-measurement.ts";
import { Subscribers } from "../native.ts";
import { stampedData, startLongwire } from "../servers.ts";
import { subscribedOver, TRANSPORT_NAMES, TRANSPORTS, type Transport } from "../transports.ts";
import { cpuSeconds, processTree, residentBytes } from "../usage.ts";

const SUBSCRIBERS = 1000;
const IDLE = 10_000;
const DATA_BYTES = 128;
const SETTLE_MS = 3000;
const RATE = 20;
/** A poller asks again after every answer, which is more than one core does at 20 a second for 1,000 clients. */
const POLL_RATE = 5;

export async function runTransports(bench: Bench): Promise<void> {
  const rows = [];
  for (const transport of TRANSPORTS) {
    bench.report.say(`transports, ${TRANSPORT_NAMES[transport]}`);
    rows.push(await measure(bench, transport));
  }
  bench.report.table(
    `Transports: ${SUBSCRIBERS} subscribers who get ${DATA_BYTES} bytes, beside them ${IDLE} that are idle`,
    rows,
  );
}

async function measure(bench: Bench, transport: Transport) {
  const server = await startLongwire(bench, "sqlite");
  const { children, tools } = bench;
  const pids = processTree(server.child.pid);
  const connect = (count: number, channel: string): Promise<Subscribers> =>
    Subscribers.connect(children, tools, server.port, count, subscribedOver(transport, server, [channel]));
  const subscribers = await connect(SUBSCRIBERS, "bench");
  await Bun.sleep(SETTLE_MS);
  const rate = transport === "poll" ? POLL_RATE : RATE;
  const figures = await measureRounds(bench, server, subscribers, {
    rate,
    body: server.publication.body("bench", stampedData(DATA_BYTES)),
    deliveriesPerRequest: SUBSCRIBERS,
    publisherConnections: 1,
  });
  await Bun.sleep(SETTLE_MS);
  // The code is warm by now, and so this is what a further connection costs.
  const resident = residentBytes(pids);
  const cpu = cpuSeconds(pids);
  const idle = await connect(IDLE, "idle");
  const connecting = cpuSeconds(pids) - cpu;
  await Bun.sleep(SETTLE_MS);
  const kilobytes = (residentBytes(pids) - resident) / IDLE / 1024;
  const { closed } = await idle.report();
  if (closed > 0) throw new Error(`${TRANSPORT_NAMES[transport]}: ${closed} idle connections were closed`);
  await subscribers.stop();
  await idle.stop();
  await children.stop(server.child);
  return row(transport, rate, figures, { kilobytes, connectUs: (connecting * 1e6) / IDLE });
}

function row(
  transport: Transport,
  rate: number,
  figures: FanoutFigures,
  connection: { kilobytes: number; connectUs: number },
) {
  return {
    transport: TRANSPORT_NAMES[transport],
    "KB/connection": connection.kilobytes,
    "CPU us/connect": connection.connectUs,
    "rate/s": rate,
    "CPU us/delivery": figures.cpuUsPerDelivery,
    "wire bytes/delivery": figures.wireBytesPerDelivery,
    "delivered %": figures.shareDelivered * 100,
    "p50 ms": figures.p50Us / 1000,
    "p99 ms": figures.p99Us / 1000,
    "others CPU %": figures.othersCpuShare * 100,
  };
}
