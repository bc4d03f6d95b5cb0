/** T3: resident memory per idle WebSocket connection, each with an identity of its own. */
import type { Bench } from "../bench.ts";
import { Subscribers } from "../native.ts";
import { startLongwire, subscribedByQuery, userToken } from "../servers.ts";
import { processTree, residentBytes } from "../usage.ts";

const CONNECTIONS = 15_000;
/** The first part tells what the first connections cost (code that warms up) from what each further one does. */
const FIRST_PART = 5000;
const SETTLE_MS = 5000;
/** With six channels each, a connection's are spread over this many. */
const CHANNELS = 600;

interface Shape {
  readonly what: string;
  readonly channels: (connection: number) => string[];
  readonly channelCount: number;
  readonly targetKilobytes: number;
}

const SHAPES: readonly Shape[] = [
  { what: "one channel", channels: () => ["bench"], channelCount: 1, targetKilobytes: 4 },
  {
    what: "six channels",
    channels: (connection) => Array.from({ length: 6 }, (_, index) => `room:${(connection * 6 + index) % CHANNELS}`),
    channelCount: 6,
    targetKilobytes: 6,
  },
];

export async function runMemory(bench: Bench): Promise<void> {
  const rows = [];
  for (const shape of SHAPES) {
    bench.report.say(`memory, ${CONNECTIONS} connections, ${shape.what}`);
    rows.push(await measure(bench, shape));
  }
  bench.report.table(`Memory: ${CONNECTIONS} idle WebSocket connections with a JWT each`, rows);
}

async function measure(bench: Bench, shape: Shape) {
  const server = await startLongwire(bench, "sqlite");
  await Bun.sleep(SETTLE_MS);
  const resident = (): number => residentBytes(processTree(server.child.pid));
  const connect = (from: number, to: number): Promise<Subscribers> => {
    const queries = Array.from({ length: to - from }, (_, index) => {
      const connection = from + index;
      return `channels=${shape.channels(connection).join(",")}&token=${userToken(`user-${connection}`)}`;
    });
    const subscription = subscribedByQuery(bench, queries, shape.channelCount);
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
  bench.report.target({
    id: "T3",
    what: `memory per connection, identity and ${shape.what}`,
    measured: kilobytes,
    limit: shape.targetKilobytes,
    good: "at most",
    unit: "KB",
  });
  return {
    each: shape.what,
    "idle MB": idle / 2 ** 20,
    [`MB with ${CONNECTIONS}`]: full / 2 ** 20,
    "KB/connection": kilobytes,
    [`KB/connection after the first ${FIRST_PART}`]: (full - part) / (CONNECTIONS - FIRST_PART) / 1024,
    "connects/s": CONNECTIONS / (first.connectSeconds + second.connectSeconds),
  };
}
