/**
 * Raw TCP against damaged streams of bytes, cut into random pieces: every framing, on a played socket, with a real gateway behind it. A
 * connection may be ended with a goodbye; it may not fail, and what it took is given back.
 */
import { expect, test } from "bun:test";
import type { Socket } from "bun";
import type { Random } from "@longwire/protocol/test/random";
import { Turn } from "../../src/base/turn.ts";
import type { Framing } from "../../src/ports/framing.ts";
import type { Protocol } from "../../src/ports/protocol.ts";
import { BareProtocol } from "../../src/protocols/bare.ts";
import { nativeLines } from "../../src/protocols/native.ts";
import { frameFraming, joined, jsonFraming, textFraming } from "../../src/transports/framings.ts";
import { TcpConnection } from "../../src/transports/tcp.ts";
import { TurnFanout } from "../../src/transports/turn-fanout.ts";
import { withPrefix } from "../../src/wire/length-prefix.ts";
import { buildCore, type CoreHouse, settle } from "../support/core.ts";
import { mutateBytes, randomBytes } from "./mutator.ts";
import { expectNoInsides, fuzzRun } from "./run.ts";

const MESSAGE_BYTES_MAX = 2048;
const LINES = [
  '{"type":"connect","id":1,"token":"bob"}',
  '{"type":"subscribe","id":2,"channel":"a","since":"earliest"}',
  '{"type":"publish","channel":"a","data":{"x":[1,2,3]},"id":3}',
  '{"type":"history","channel":"a","id":4,"limit":5}',
  '{"type":"presence","channel":"a","id":5}',
  '{"type":"unsubscribe","channel":"a"}',
  '{"type":"ping"}',
  "hello \u4e2d\u6587",
  "",
];

interface Kind {
  readonly framing: Framing;
  readonly protocol: Protocol;
  readonly channels: readonly string[];
  readonly good: readonly Uint8Array[];
}

function kinds(): readonly Kind[] {
  const lines = [LINES.slice(0, 4), LINES.slice(2), LINES.toReversed(), LINES.slice(0, 2)].map((some) =>
    Buffer.from(`${some.join("\r\n")}\n`),
  );
  const packets = LINES.map((line) => withPrefix(Buffer.from(line)));
  return [
    { framing: jsonFraming, protocol: nativeLines(16), channels: [], good: lines },
    { framing: textFraming, protocol: new BareProtocol("a", false), channels: ["a"], good: lines },
    {
      framing: frameFraming,
      protocol: new BareProtocol("a", true),
      channels: ["a"],
      good: [Buffer.concat(packets), ...packets],
    },
  ];
}

const quiet = (): void => undefined;

/** Feeds one stream; returns what was answered. */
function feed(random: Random, house: CoreHouse, { framing, protocol, channels, good }: Kind): string {
  let answered = "";
  const socket = {
    remoteAddress: "192.0.2.7",
    write(bytes: Uint8Array): number {
      answered += Buffer.from(bytes).toString();
      return random.chance(95) ? bytes.length : random.below(bytes.length + 1);
    },
    pause: () => undefined,
    resume: () => undefined,
    shutdown: () => undefined,
    terminate: () => undefined,
  };
  const errors: unknown[] = [];
  const connection = new TcpConnection(socket as unknown as Socket<TcpConnection>, {
    gateway: house.gateway,
    framing,
    messageBytesMax: MESSAGE_BYTES_MAX,
    log: { debug: quiet, info: quiet, warn: quiet, error: (event) => void errors.push(event) },
    fanout: new TurnFanout(new Turn(), joined(framing)),
  });
  connection.session = house.gateway.open(connection, protocol, { channels });
  const bytes = random.chance(8) ? randomBytes(random, 400) : mutateBytes(random, random.pick(good), good);
  for (let at = 0; at < bytes.length;) {
    const end = random.chance(50) ? bytes.length : Math.min(bytes.length, at + 1 + random.below(40));
    connection.received(bytes.subarray(at, end));
    at = end;
  }
  if (random.chance(30)) connection.ended();
  if (random.chance(30)) connection.drained();
  connection.closed(undefined);
  if (errors.length > 0) throw new Error(`logged: ${String(errors[0])}`);
  return answered;
}

test("[TC-4] [TC-5] [P4] damaged streams end their own connection at most, and a bystander gets everything", async () => {
  const run = fuzzRun({ short: 1000, full: 150_000 });
  const house = buildCore({ settings: { queueBytesMax: 256 * 1024, resumeMs: 0 } });
  const bystander = await house.open({ user: "bystander" });
  await bystander.say({ type: "subscribe", channel: "by:stander" });
  const all = kinds();
  const calm = await run.calm();
  let published = 0;
  await run.each("tcp framings", async (random, n) => {
    const answered = feed(random, house, random.pick(all));
    expectNoInsides(answered);
    if (answered.includes('"code":200')) throw new Error(`answered \`internal\`: ${answered}`);
    if (n % 50 === 0) await settle();
    if (n % 500 !== 0) return;
    await house.publish("by:stander", ++published);
    if (bystander.connection.offsets("by:stander").length !== 1) throw new Error("the bystander has missed something");
    bystander.connection.writes.length = 0;
  });
  await settle();
  expect(house.errors).toEqual([]);
  expect((await house.control.stats()).sessions).toBe(1);
  house.clock.advance(3 * 86_400_000);
  await settle();
  await calm.isBack();
  house.stop();
});
