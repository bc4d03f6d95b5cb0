/**
 * Hostile clients, many in one process, on raw sockets so that they cost little themselves:
 *
 *     bun e2e/support/hostile-child.ts <http port> <tcp port> <connections> <seed>
 *
 * Most drip a request that never ends, or a line; the others subscribe to random channels for ever, and a few flood. Whoever is sent away comes
 * back a second later, whatever it was told. Those that flood begin with the first line of input. Every second a line of output with how many are open, and how
 * often they were sent away. Ends with its input.
 */
import type { Socket } from "bun";
import { Random } from "@longwire/protocol/test/random";
import { upgradeRequest, webSocketFrame } from "longwire/test/raw-socket";

const [httpPort = 0, tcpPort = 0, count = 0, seed = 1] = process.argv.slice(2).map(Number);
const random = new Random(seed);

/** Each has its turn once a second; all at once would be one client of theirs with a great voice. */
const TURNS = 50;
/** So many frames in one write of a flood, and such writes in a second. */
const FLOOD_FRAMES = 500;
const FLOODS_PER_SECOND = 10;
const OPENED_PER_TURN = 10;

const FLOOD = Buffer.concat(Array.from({ length: FLOOD_FRAMES }, () => webSocketFrame("text", '{"type":"ping"}')));

interface Attacker {
  readonly port: number;
  readonly first: string;
  /** Said every second. */
  drip(): Uint8Array | string;
  readonly floods: boolean;
  socket: Socket | undefined;
}

function wander(): Uint8Array {
  const channel = `random:${random.below(1_000_000_000)}`;
  return Buffer.concat([
    webSocketFrame("text", JSON.stringify({ type: "subscribe", channel, presence: true })),
    webSocketFrame("text", JSON.stringify({ type: "presence", channel })),
    ...(random.chance(50) ? [webSocketFrame("text", JSON.stringify({ type: "unsubscribe", channel }))] : []),
  ]);
}

function attacker(at: number): Attacker {
  const place = at % 100;
  const one = { socket: undefined, floods: false };
  if (place < 40) return { ...one, port: httpPort, first: "GET /ws HTTP/1.1\r\nHost: a\r\nX: ", drip: () => "a" };
  if (place < 65) return { ...one, port: tcpPort, first: "{", drip: () => " " };
  const first = upgradeRequest(httpPort, "/ws");
  if (place < 98) return { ...one, port: httpPort, first, drip: wander };
  return { ...one, port: httpPort, first, drip: () => "", floods: true };
}

const attackers = Array.from({ length: count }, (_, at) => attacker(at));
let sentAway = 0;

async function open(one: Attacker): Promise<void> {
  try {
    one.socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: one.port,
      socket: {
        open: (socket) => void socket.write(one.first),
        // What they are told is not even looked at.
        data: () => undefined,
        close: () => gone(one),
        error: () => gone(one),
      },
    });
  } catch {
    // Refused: in a second again.
    one.socket = undefined;
  }
}

function gone(one: Attacker): void {
  if (one.socket === undefined) return;
  one.socket = undefined;
  sentAway++;
}

let floodsOn = false;
let turn = 0;
setInterval(() => {
  turn = (turn + 1) % TURNS;
  let openedNow = 0;
  for (let at = turn; at < count; at += TURNS) {
    const one = attackers[at];
    if (one === undefined || (one.floods && !floodsOn)) continue;
    if (one.socket !== undefined) one.socket.write(one.drip());
    else if (openedNow++ < OPENED_PER_TURN) void open(one);
  }
  if (turn !== 0) return;
  const isOpen = attackers.filter(({ socket }) => socket !== undefined).length;
  process.stdout.write(`${JSON.stringify({ open: isOpen, sentAway })}\n`);
}, 1000 / TURNS);

setInterval(() => {
  for (const one of attackers) if (one.floods) one.socket?.write(FLOOD);
}, 1000 / FLOODS_PER_SECOND);

for await (const _ of Bun.stdin.stream()) floodsOn = true;
process.exit(0);
