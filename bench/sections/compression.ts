/**
 * What compression saves on the wire and costs in CPU time. The publications are JSON as an application has it (a list of
 * records), in a short and a long form; a padding of one letter would flatter every compressor.
 */
import type { Bench } from "../bench.ts";
import { type FanoutFigures, measureRounds } from "../fanout-measurement.ts";
import { type StreamsReport, Subscribers, type Subscription } from "../native.ts";
import { type LongwireServer, startLongwire } from "../servers.ts";
import { subscribedOver } from "../transports.ts";
import { processTree, residentBytes } from "../usage.ts";

const SUBSCRIBERS = 1000;
const RATE = 20;
const SIZES = [128, 2048];
const SETTLE_MS = 1500;
const GZIP = "Accept-Encoding: gzip";
const PER_MESSAGE_DEFLATE =
  "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover";

interface Variant {
  readonly name: string;
  readonly subscription: (server: LongwireServer) => Subscription;
  readonly flags?: Readonly<Record<string, string>>;
  /** All connections must say that they are compressed. */
  readonly gzip?: boolean;
}

const VARIANTS: readonly Variant[] = [
  { name: "SSE", subscription: (server) => subscribedOver("sse", server, ["bench"]) },
  {
    name: "SSE, gzip",
    subscription: (server) => ({ ...subscribedOver("sse", server, ["bench"]), header: GZIP }),
    gzip: true,
  },
  { name: "HTTP stream", subscription: (server) => subscribedOver("stream", server, ["bench"]) },
  {
    name: "HTTP stream, gzip",
    subscription: (server) => ({ ...subscribedOver("stream", server, ["bench"]), header: GZIP }),
    gzip: true,
  },
  { name: "WebSocket", subscription: (server) => subscribedOver("websocket", server, ["bench"]) },
  {
    name: "WebSocket, compress=deflate",
    subscription: (server) => {
      const plain = subscribedOver("websocket", server, ["bench"]);
      return { ...plain, path: `${plain.path}&compress=deflate`, deflated: true };
    },
  },
  {
    // It is negotiated and serves single frames; what goes to many is sent as it is.
    name: "WebSocket, permessage-deflate",
    subscription: (server) => ({ ...subscribedOver("websocket", server, ["bench"]), header: PER_MESSAGE_DEFLATE }),
    flags: { "per-message-deflate": "true" },
  },
];

export async function runCompression(bench: Bench): Promise<void> {
  const rows = [];
  for (const variant of VARIANTS) rows.push(...(await measure(bench, variant)));
  bench.report.table(
    `Compression: ${SUBSCRIBERS} subscribers, ${RATE} publications/s`,
    rows.toSorted((a, b) => a["data bytes"] - b["data bytes"]),
  );
}

async function measure(bench: Bench, variant: Variant) {
  const server = await startLongwire(bench, "sqlite", variant.flags);
  const { children, tools } = bench;
  const idle = residentBytes(processTree(server.child.pid));
  const subscribers = await Subscribers.connect(
    children,
    tools,
    server.port,
    SUBSCRIBERS,
    variant.subscription(server),
  );
  await Bun.sleep(SETTLE_MS);
  const kilobytes = (residentBytes(processTree(server.child.pid)) - idle) / SUBSCRIBERS / 1024;
  if (variant.gzip === true && (await subscribers.report<StreamsReport>()).compressed !== SUBSCRIBERS) {
    throw new Error(`${variant.name}: the server does not compress`);
  }
  const rows = [];
  for (const size of SIZES) {
    bench.report.say(`compression, ${variant.name}, ${size} bytes`);
    const figures = await measureRounds(bench, server, subscribers, {
      rate: RATE,
      body: server.publication.body("bench", recordsData(size)),
      deliveriesPerRequest: SUBSCRIBERS,
      publisherConnections: 1,
    });
    rows.push(row(variant.name, size, figures, kilobytes));
  }
  await subscribers.stop();
  await children.stop(server.child);
  return rows;
}

function row(name: string, size: number, figures: FanoutFigures, kilobytes: number) {
  return {
    transport: name,
    "data bytes": size,
    "wire bytes/delivery": figures.wireBytesPerDelivery,
    "CPU us/delivery": figures.cpuUsPerDelivery,
    "delivered %": figures.shareDelivered * 100,
    "p50 ms": figures.p50Us / 1000,
    "p99 ms": figures.p99Us / 1000,
    "KB/connection": kilobytes,
    "load CPU %": figures.loadCpuShare * 100,
    "others CPU %": figures.othersCpuShare * 100,
  };
}

/** Quotes of made-up shares, the same in every run. */
function recordsData(bytes: number): string {
  let seed = 20_261_120;
  const next = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  const letters = (count: number): string =>
    Array.from({ length: count }, () => String.fromCharCode(65 + next(26))).join("");
  const records: string[] = [];
  const text = (): string => `{"t":%t,"quotes":[${records.join(",")}]}`;
  const stampBytes = process.hrtime.bigint().toString().length - "%t".length;
  while (text().length + stampBytes < bytes) {
    const price = (next(90_000) + 1000) / 100;
    records.push(
      `{"symbol":"${letters(4)}","price":${price},"change":${(next(2000) - 1000) / 100},"volume":${next(1e6)}}`,
    );
  }
  return text();
}
