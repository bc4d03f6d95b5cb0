/**
 * A TCP proxy that cuts, delays and swallows: the network's part in the tests. With several targets it is a balancer: each new connection goes
 * to the next one, and one that does not answer is passed over.
 *
 *     const proxy = startProxy(new URL(server.url).port);
 *     connect(proxy.url);
 *     proxy.cut(0.1);          // each connection is cut with this probability, in whatever it was doing
 *     proxy.delay(200);        // every byte arrives 200 ms later, both ways
 *     proxy.stall();           // nothing passes, new connections included, and nobody is told
 *     proxy.stall("toClient"); // the server hears, but is not heard
 *     proxy.flow();            // what was held back goes on, at once
 *     proxy.stop();
 */
import type { Socket } from "bun";

type Direction = "toServer" | "toClient";
const DIRECTIONS: readonly Direction[] = ["toServer", "toClient"];

export interface Target {
  readonly hostname: string;
  readonly port: number;
}

export interface CuttingProxy {
  readonly url: string;
  readonly port: number;
  readonly connections: number;
  readonly cuts: number;
  cut(chance: number, random?: () => number): void;
  delay(ms: number): void;
  /** Both directions unless told which. */
  stall(...directions: Direction[]): void;
  flow(): void;
  stop(): void;
}

/** One direction of a connection. */
interface Lane {
  from: Socket<Pair> | undefined;
  to: Socket<Pair> | undefined;
  /** Not due yet. */
  late: { readonly at: number; readonly data: Uint8Array }[];
  /** Bytes that wait for the other side: before it is connected, or because it does not take them. */
  waiting: Uint8Array[];
}

type Pair = Readonly<Record<Direction, Lane>>;

/** What the network does to everybody right now. */
interface Weather {
  delayMs: number;
  stalled: ReadonlySet<Direction>;
}

const newLane = (): Lane => ({ from: undefined, to: undefined, late: [], waiting: [] });

/** Writes what the socket takes, keeps the rest in order, and stops reading from the other side meanwhile. */
function forward(lane: Lane, isStalled: boolean, data?: Uint8Array): void {
  const { waiting } = lane;
  if (data !== undefined) {
    const written = waiting.length === 0 && lane.to !== undefined ? Math.max(0, lane.to.write(data)) : 0;
    // The bytes given are the runtime's, and only for the length of the call.
    if (written < data.length) waiting.push(new Uint8Array(data.subarray(written)));
  }
  if (lane.to === undefined) return;
  for (let [first] = waiting; first !== undefined; [first] = waiting) {
    const written = lane.to.write(first);
    if (written < 0) return;
    if (written < first.length) {
      waiting[0] = first.subarray(written);
      lane.from?.pause();
      return;
    }
    waiting.shift();
  }
  if (!isStalled) lane.from?.resume();
}

/** `port` 0: any free one. */
export function startProxy(target: number | readonly (number | Target)[], port = 0): CuttingProxy {
  const targets = [target].flat().map((one) => (typeof one === "object" ? one : { hostname: "127.0.0.1", port: one }));
  const pairs = new Set<Pair>();
  const weather: Weather = { delayMs: 0, stalled: new Set() };
  let cuts = 0;
  let turn = 0;
  const end = (pair: Pair): void => {
    pairs.delete(pair);
    pair.toServer.from?.terminate();
    pair.toServer.to?.terminate();
  };
  const pass = (pair: Pair, direction: Direction, data?: Uint8Array): void => {
    const lane = pair[direction];
    const last = lane.late.at(-1);
    if (data === undefined || (weather.delayMs === 0 && last === undefined)) {
      forward(lane, weather.stalled.has(direction), data);
      return;
    }
    // Nothing overtakes what came before it, also when the delay becomes shorter.
    const at = Math.max(last?.at ?? 0, performance.now() + weather.delayMs);
    lane.late.push({ at, data: new Uint8Array(data) });
    setTimeout(() => {
      const due = lane.late.shift();
      if (pairs.has(pair)) forward(lane, weather.stalled.has(direction), due?.data);
    }, at - performance.now());
  };
  /** Of the targets in turn, the first that takes the connection. */
  const dial = async (pair: Pair, first: number): Promise<void> => {
    for (let tried = 0; tried < targets.length && pairs.has(pair); tried++) {
      const { hostname, port } = targets[(first + tried) % targets.length] ?? { hostname: "", port: 0 };
      const taken = await Bun.connect<Pair>({ hostname, port, data: pair, socket: handlersOfServer }).catch(
        () => undefined,
      );
      if (taken !== undefined) return;
    }
    end(pair);
  };
  const handlersOfServer = {
    open(server: Socket<Pair>) {
      const pair = server.data;
      pair.toServer.to = server;
      pair.toClient.from = server;
      if (!pairs.has(pair)) return end(pair);
      if (weather.stalled.has("toClient")) server.pause();
      pass(pair, "toServer");
    },
    data: (server: Socket<Pair>, data: Uint8Array) => pass(server.data, "toClient", data),
    drain: (server: Socket<Pair>) => pass(server.data, "toServer"),
    close: (server: Socket<Pair>) => {
      if (server.data.toServer.to === server) end(server.data);
    },
    error: (server: Socket<Pair>) => {
      if (server.data.toServer.to === server) end(server.data);
    },
  };
  const listener = Bun.listen<Pair>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(client) {
        const pair: Pair = { toServer: newLane(), toClient: newLane() };
        client.data = pair;
        pair.toServer.from = client;
        pair.toClient.to = client;
        pairs.add(pair);
        if (weather.stalled.has("toServer")) client.pause();
        void dial(pair, turn++);
      },
      data: (client, data) => pass(client.data, "toServer", data),
      drain: (client) => pass(client.data, "toClient"),
      close: (client) => end(client.data),
      error: (client) => end(client.data),
    },
  });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    port: listener.port,
    get connections() {
      return pairs.size;
    },
    get cuts() {
      return cuts;
    },
    cut(chance, random = Math.random) {
      for (const pair of pairs) {
        if (random() >= chance) continue;
        cuts++;
        end(pair);
      }
    },
    delay(ms) {
      weather.delayMs = ms;
    },
    stall(...directions) {
      weather.stalled = new Set(directions.length === 0 ? DIRECTIONS : directions);
      for (const pair of pairs) for (const direction of weather.stalled) pair[direction].from?.pause();
    },
    flow() {
      weather.delayMs = 0;
      const stalled = weather.stalled;
      weather.stalled = new Set();
      for (const pair of pairs) for (const direction of stalled) forward(pair[direction], false);
    },
    stop() {
      for (const pair of pairs) end(pair);
      listener.stop(true);
    },
  };
}
