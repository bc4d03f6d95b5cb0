/** What the core does for transports that lead out only: it tells them when all is answered, where a session stands, and when it is old. */
import { expect, test } from "bun:test";
import { decodeCursor, type Position } from "@longwire/protocol";
import type { Handshake, SessionHandle } from "../ports/gateway.ts";
import type { Sink } from "../ports/broker.ts";
import type { Protocol } from "../ports/protocol.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { brokerWith, buildCore, type CoreHouse, settle } from "../../test/support/core.ts";
import { FakeConnection } from "../../test/support/fake-connection.ts";
import { quietProtocol } from "../transports/opening.ts";

const APART: Protocol = { ...nativeProtocol(16), cursorApart: true };

interface Opened {
  readonly handle: SessionHandle;
  readonly connection: FakeConnection;
}

function open(house: CoreHouse, handshake: Handshake, protocol = APART, topics = false): Opened {
  const connection = new FakeConnection({ hearing: "nothing", ...(topics && { topics: house.fanout }) });
  return { handle: house.gateway.open(connection, protocol, handshake), connection };
}

const text = (command: object): string => JSON.stringify(command);

/** What it was told; of publications the offset. */
const toldOf = ({ connection }: Opened): unknown[] =>
  connection.frames().map((frame) => (frame.type === "message" ? frame.offset : frame));

/** Name to offset. */
function cursorOf(house: CoreHouse, { handle }: Opened): Record<string, number> | undefined {
  const cursor = house.gateway.cursor(handle);
  if (cursor === undefined) return undefined;
  return Object.fromEntries([...(decodeCursor(cursor) ?? [])].map(([name, { offset }]) => [name, offset]));
}

test("[OW-2] `settled` resolves when everything asked for is answered and handed over, and not before", async () => {
  const gate = Promise.withResolvers<void>();
  const house = buildCore({
    wrap: {
      sink: (hub) => hub,
      broker: (inner) =>
        brokerWith(inner, {
          subscribe: async (channel) => {
            if (channel === "slow") await gate.promise;
            return inner.subscribe(channel);
          },
        }),
    },
  });
  const bob = open(house, { channels: ["a", "slow"] });
  house.gateway.receive(bob.handle, text({ type: "subscribe", channel: "b", id: 3 }));
  let isSettled = false;
  const settled = house.gateway.settled(bob.handle).then(() => (isSettled = true));
  await settle();
  expect(isSettled).toBeFalse();
  gate.resolve();
  await settled;
  expect(bob.connection.frames().map((frame) => [frame.type, "channel" in frame ? frame.channel : ""])).toEqual([
    ["connected", ""],
    ["subscribed", "a"],
    ["subscribed", "slow"],
    ["subscribed", "b"],
  ]);
});

test("[OW-8] `settled` resolves too when the session has ended meanwhile, whoever waits", async () => {
  const gate = Promise.withResolvers<Position>();
  const house = buildCore({
    wrap: { sink: (hub) => hub, broker: (inner) => brokerWith(inner, { subscribe: () => gate.promise }) },
  });
  const bob = open(house, { channels: ["a", "b"] });
  const settled = Promise.all([house.gateway.settled(bob.handle), house.gateway.settled(bob.handle)]);
  await settle();
  house.gateway.closed(bob.handle, 1006, "");
  gate.resolve({ epoch: "e", offset: 0 });
  await settled;
  expect(house.errors).toEqual([]);
  expect((await house.control.stats()).sessions).toBe(0);
});

test("[OW-3] a refused `connect` is a goodbye where there is no second attempt", async () => {
  const house = buildCore();
  for (const handshake of [{ channels: [], token: "bad" }, { channels: [] }]) {
    const bob = open(house, handshake);
    if (!("token" in handshake)) house.gateway.receive(bob.handle, text({ type: "connect", id: 1, token: "bad" }));
    await house.gateway.settled(bob.handle);
    expect(bob.connection.goodbye?.disconnect).toBe("invalidToken");
  }
  // Where there is one, it is an answer.
  const twoWay = await house.open({ connect: false });
  await twoWay.say({ type: "connect", id: 1, token: "bad" });
  expect(twoWay.connection.goodbye).toBeUndefined();
});

// It was answered `error` without a word of what it was about: the client went on listening to channels that nobody had subscribed.
test("[FR-16] [P2] a handshake that fails by a bug is a goodbye that lets the client come back", async () => {
  const house = buildCore({
    wrap: {
      sink: (hub) => hub,
      broker: (inner) =>
        brokerWith(inner, {
          subscribe: (channel) =>
            channel === "broken" ? Promise.reject(new Error("secret cause")) : inner.subscribe(channel),
        }),
    },
  });
  for (const hearing of ["pongs", "nothing"] as const) {
    const connection = new FakeConnection({ hearing });
    const handle = house.gateway.open(connection, APART, { channels: ["a", "broken", "b"] });
    await house.gateway.settled(handle);
    expect(connection.goodbye?.disconnect).toBe("internalError");
    expect(connection.goodbye?.reconnect).toBeTrue();
    expect(JSON.stringify(connection.frames())).not.toContain("secret");
  }
  expect(house.errors).toHaveLength(2);
});

test("[ES-4] a cursor names every channel, at what was handed over", async () => {
  const house = buildCore();
  await house.publish("a", 1);
  for (const topics of [false, true]) {
    const bob = open(house, { channels: ["a", "b"] }, APART, topics);
    await house.gateway.settled(bob.handle);
    const before = cursorOf(house, bob);
    await house.publish("b", 1);
    const { a = 0, b = 0 } = cursorOf(house, bob) ?? {};
    expect([before?.["a"], a, b - (before?.["b"] ?? 0)]).toEqual([1, 1, 1]);
  }
});

// It was left out: the client counted on in the epoch that it knew, and later what it had seemed to be beyond the end of that one, a loss.
test("[OW-6] [RD-4] who returns is told of another epoch, in which its position is good, and nothing that it knows", async () => {
  let sink: Sink | undefined;
  let epochNow = "";
  const house = buildCore({
    wrap: {
      sink: (hub) => (sink = hub),
      broker: (inner) =>
        brokerWith(inner, {
          // An engine whose epoch changes, and that knows how the new one goes on from the old.
          async history(channel, query) {
            const { epoch } = (await inner.history(channel, { ...query, from: "latest" })).top;
            if (epochNow === "") epochNow = epoch;
            const from = typeof query.from === "object" ? { ...query.from, epoch } : query.from;
            const page = await inner.history(channel, { ...query, from });
            return { ...page, top: { ...page.top, epoch: epochNow } };
          },
        }),
    },
  });
  await house.publish("a", 1);
  await house.publish("a", 2);
  await house.publish("a", 3);
  const { epoch } = await house.control.history("a", { limit: 1 });
  const comeBack = async (since: Position): Promise<Opened> => {
    const opened = open(house, { channels: [] }, quietProtocol(APART));
    house.gateway.receive(opened.handle, text({ type: "subscribe", channel: "a", since }));
    await house.gateway.settled(opened.handle);
    await settle();
    return opened;
  };

  const bob = await comeBack({ epoch, offset: 1 });
  expect(toldOf(bob)).toEqual([2, 3]);
  epochNow = "another";
  sink?.top("a", { epoch: "another", offset: 3 });
  await settle();
  const news = { type: "subscribed", channel: "a", epoch: "another", recovered: true };
  expect(toldOf(bob)).toEqual([2, 3, { ...news, offset: 3 }]);
  expect(toldOf(await comeBack({ epoch, offset: 2 }))).toEqual([{ ...news, offset: 2 }, 3]);
  expect(toldOf(await comeBack({ epoch: "another", offset: 2 }))).toEqual([3]);
});

test("[LP-4] what waits for the end of the turn is handed over before the cursor that covers it", async () => {
  const house = buildCore();
  const bob = open(house, { channels: ["a"] });
  await house.gateway.settled(bob.handle);
  const publishing = house.control.publish({ channel: "a", data: "1" });
  await Promise.resolve();
  const atOnce = cursorOf(house, bob);
  expect(atOnce).toEqual({ a: bob.connection.offsets("a").length });
  await publishing;
  await settle();
  expect(bob.connection.offsets("a")).toEqual([1]);
  expect(cursorOf(house, bob)).toEqual({ a: 1 });
});

test("[RE-12] while a replay goes on, the cursor stands where the replay does", async () => {
  const house = buildCore({ settings: { queueBytesMax: 16_000 } });
  for (let n = 1; n <= 40; n++) await house.publish("a", "x".repeat(1000));
  const bob = open(house, { channels: ["a", "b"], since: "earliest" });
  bob.connection.stalled = true;
  await house.gateway.settled(bob.handle);
  await settle();
  const handed = bob.connection.offsets("a").length;
  expect(handed).toBeGreaterThan(0);
  expect(handed).toBeLessThan(40);
  expect(cursorOf(house, bob)).toEqual({ a: handed, b: 0 });
  // Published meanwhile: it comes behind the replay, and the cursor does not run ahead.
  await house.publish("a", "later");
  expect(cursorOf(house, bob)).toEqual({ a: handed, b: 0 });
  bob.connection.stalled = false;
  for (let round = 0; round < 20; round++) {
    bob.connection.take();
    house.gateway.drained(bob.handle);
    await settle();
    expect(cursorOf(house, bob)?.["a"]).toBe(bob.connection.offsets("a").length);
  }
  expect(bob.connection.offsets("a")).toHaveLength(41);
});

test("[ES-4] there is none while a channel has not been answered, nor without channels, nor where frames carry it", async () => {
  const gate = Promise.withResolvers<void>();
  const house = buildCore({
    wrap: {
      sink: (hub) => hub,
      broker: (inner) =>
        brokerWith(inner, {
          subscribe: async (channel) => {
            if (channel === "slow") await gate.promise;
            return inner.subscribe(channel);
          },
        }),
    },
  });
  const bob = open(house, { channels: ["a"] });
  await house.gateway.settled(bob.handle);
  house.gateway.receive(bob.handle, text({ type: "subscribe", channel: "slow", id: 2 }));
  await settle();
  // A cursor without it would lose it; an old one loses nothing.
  expect(cursorOf(house, bob)).toBeUndefined();
  gate.resolve();
  await settle();
  expect(cursorOf(house, bob)).toEqual({ a: 0, slow: 0 });
  const empty = open(house, { channels: [], token: '{"user":null}' });
  expect(cursorOf(house, empty)).toBeUndefined();
  const native = open(house, { channels: ["a"] }, nativeProtocol(16));
  await house.gateway.settled(native.handle);
  expect(cursorOf(house, native)).toBeUndefined();
  house.gateway.closed(bob.handle, 1006, "");
  expect(cursorOf(house, bob)).toBeUndefined();
});

test("[ES-4] `subscribed` itself is covered by the cursor asked for when it is handed over", async () => {
  const house = buildCore();
  await house.publish("b", 1);
  const bob = open(house, { channels: ["a"] });
  await house.gateway.settled(bob.handle);
  const seen: unknown[] = [];
  const { connection } = bob;
  const send = connection.send.bind(connection);
  connection.send = (frames) => {
    send(frames);
    seen.push(cursorOf(house, bob));
  };
  await house.control.subscribeSession(bob.handle.id, "b");
  await settle();
  expect(seen).toEqual([{ a: 0, b: 1 }]);
});

test("[ES-9] more channels than a cursor holds end the session, once and in words", async () => {
  const house = buildCore({ settings: { subscriptionsMax: 1000 } });
  const channels = Array.from({ length: 60 }, (_, n) => `${n}:${"x".repeat(90)}`);
  const bob = open(house, { channels });
  await house.gateway.settled(bob.handle);
  expect(house.gateway.cursor(bob.handle)).toBeUndefined();
  expect(bob.connection.goodbye?.disconnect).toBe("badRequest");
  expect(bob.connection.goodbye?.message).toContain("cursor");
  expect(bob.connection.frames().filter(({ type }) => type === "disconnect")).toHaveLength(1);
});

test("[PU-7] an unnumbered publication and the same positions make the same cursor", async () => {
  const house = buildCore();
  const [ann, bob] = [open(house, { channels: ["a", "b"] }), open(house, { channels: ["a", "b"] })];
  await Promise.all([house.gateway.settled(ann.handle), house.gateway.settled(bob.handle)]);
  await house.publish("a", 1);
  const cursor = house.gateway.cursor(ann.handle);
  expect(house.gateway.cursor(bob.handle)).toBe(cursor as string);
  await house.control.publish({ channel: "a", data: "2", history: false });
  await settle();
  expect(house.gateway.cursor(ann.handle)).toBe(cursor as string);
});

test("[OW-9] [LI-2] [TC-7] what silence says depends on who could be heard", async () => {
  const house = buildCore({ settings: { streamMaxAgeMs: 300_000 } });
  const connections = (["pongs", "frames", "nothing"] as const).map((hearing) => new FakeConnection({ hearing }));
  const asking = new FakeConnection({ hearing: "frames" });
  for (const connection of [...connections, asking]) {
    const handle = house.gateway.open(connection, nativeProtocol(16), { channels: [] });
    house.gateway.receive(handle, text({ type: "connect", ping: connection === asking }));
  }
  await settle();
  const goodbyes = (): unknown[] => [...connections, asking].map(({ goodbye }) => goodbye?.disconnect);
  house.clock.advance(34_000);
  expect(goodbyes()).toEqual([undefined, undefined, undefined, undefined]);
  expect(connections.map(({ pings }) => pings)).toEqual([1, 1, 1]);
  house.clock.advance(3000);
  // One answers pings by itself and did not; one has asked for JSON pings and did not answer; of the others nothing was to be heard.
  expect(goodbyes()).toEqual(["noPong", undefined, undefined, "noPong"]);
  house.clock.advance(260_000);
  expect(goodbyes()).toEqual(["noPong", undefined, undefined, "noPong"]);
  house.clock.advance(10_000);
  expect(goodbyes()).toEqual(["noPong", undefined, "asked", "noPong"]);
  await settle();
  expect(asking.frames().some(({ type }) => type === "ping")).toBeTrue();
});

test("[OW-9] [HS-2] a stream that asked for JSON pings gets those in place of the transport's own", async () => {
  const house = buildCore();
  const bob = open(house, { channels: [] });
  house.gateway.receive(bob.handle, text({ type: "connect", ping: true }));
  await settle();
  house.clock.advance(60_000);
  await settle();
  expect(bob.connection.pings).toBe(0);
  expect(bob.connection.frames().filter(({ type }) => type === "ping")).toHaveLength(2);
  expect(bob.connection.goodbye).toBeUndefined();
});
