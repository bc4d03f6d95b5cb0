/** T3 and T4: resident memory per idle connection of each transport, each with an identity of its own. */
import type { Bench } from "../bench.ts";
import { Subscribers } from "../native.ts";
import { startLongwire, userToken } from "../servers.ts";
import { subscribedOverEach, TRANSPORT_NAMES, type Transport } from "../transports.ts";
import { processTree, residentBytes } from "../usage.ts";

const CONNECTIONS = 15_000;
/** The first part tells what the first connections cost (code that warms up) from what each further one does. */
const FIRST_PART = 5000;
const SETTLE_MS = 5000;
/** With six channels each, a connection's are spread over this many. */
const CHANNELS = 600;

interface Shape {
  readonly transport: Transport;
  readonly what: string;
  readonly channels: (connection: number) => string[];
  readonly target: { readonly id: string; readonly kilobytes: number };
}

const oneChannel = (): string[] => ["bench"];
const sixChannels = (connection: number): string[] =>
  Array.from({ length: 6 }, (_, index) => `room:${(connection * 6 + index) % CHANNELS}`);

const SHAPES: readonly Shape[] = [
  { transport: "websocket", what: "one channel", channels: oneChannel, target: { id: "T3", kilobytes: 4 } },
  { transport: "websocket", what: "six channels", channels: sixChannels, target: { id: "T3", kilobytes: 6 } },
  ...(["sse", "stream", "poll", "tcp"] as const).map((transport) => ({
    transport,
    what: "one channel",
    channels: oneChannel,
    target: { id: "T4", kilobytes: 8 },
  })),
];

export async function runMemory(bench: Bench): Promise<void> {
  const rows = [];
  for (const shape of SHAPES) {
    bench.report.say(`memory, ${CONNECTIONS} connections, ${TRANSPORT_NAMES[shape.transport]}, ${shape.what}`);
    rows.push(await measure(bench, shape));
  }
  bench.report.table(`Memory: ${CONNECTIONS} idle connections with a JWT each`, rows);
}

async function measure(bench: Bench, { transport, what, channels, target }: Shape) {
  const server = await startLongwire(bench, "sqlite");
  await Bun.sleep(SETTLE_MS);
  const resident = (): number => residentBytes(processTree(server.child.pid));
  const connect = (from: number, to: number): Promise<Subscribers> => {
    const clients = Array.from({ length: to - from }, (_, index) => ({
      channels: channels(from + index),
      token: userToken(`user-${from + index}`),
    }));
    const subscription = subscribedOverEach(transport, server, clients, bench.folder);
    return Subscribers.connect(bench.children, bench.tools, server.port, to - from, subscription);
  };
  const idle = resident();
  const first = await connect(0, FIRST_PART);
  await Bun.sleep(SETTLE_MS);
  const part = resident();
  const second = await connect(FIRST_PART, CONNECTIONS);
  await Bun.sleep(SETTLE_MS);
  const full = resident();
  const closed = (await first.report()).closed + (await second.report()).closed;
  await first.stop();
  await second.stop();
  await bench.children.stop(server.child);
  if (closed > 0) throw new Error(`${closed} idle connections were closed by the server`);
  const kilobytes = (full - idle) / CONNECTIONS / 1024;
  const name = TRANSPORT_NAMES[transport];
  bench.report.target({
    id: target.id,
    what: `memory per connection, ${name}, identity and ${what}`,
    measured: kilobytes,
    limit: target.kilobytes,
    good: "at most",
    unit: "KB",
  });
  return {
    transport: name,
    each: what,
    "idle MB": idle / 2 ** 20,
    [`MB with ${CONNECTIONS}`]: full / 2 ** 20,
    "KB/connection": kilobytes,
    [`KB/connection after the first ${FIRST_PART}`]: (full - part) / (CONNECTIONS - FIRST_PART) / 1024,
    "connects/s": CONNECTIONS / (first.connectSeconds + second.connectSeconds),
  };
}
