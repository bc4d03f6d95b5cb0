/** Several workers on one engine, over a real socket: who gets what, and what becomes of it when one dies. */
import { afterEach, describe, expect, test } from "bun:test";
import { draftOf, settingsOf } from "../../../test/support/engine.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { buildRemote, type RemoteHouse, until } from "../../../test/support/remote.ts";
import { ReplyError } from "../../base/failures.ts";
import type { Broker } from "../../ports/broker.ts";
import type { Engine } from "../../ports/engine.ts";
import { openMemoryEngine } from "../memory/engine.ts";
import type { EngineServerParts } from "./server.ts";

const PAGE = { from: "earliest", limit: 1_000, bytesMax: 100_000_000 } as const;

let house: RemoteHouse;
/** What the engine behind was asked to follow and to leave. */
let calls: string[];

/** `wrap`: around the engine's broker. */
async function build(
  wrap?: (broker: Broker) => Partial<Broker>,
  parts: Partial<EngineServerParts> = {},
): Promise<void> {
  calls = [];
  house = await buildRemote((sink) => {
    const engine = openMemoryEngine(settingsOf(), sink, new FakeClock());
    const { broker } = engine;
    const watched: Broker = {
      publish: (channel, draft) => broker.publish(channel, draft),
      subscribe(channel) {
        calls.push(`+${channel}`);
        return broker.subscribe(channel);
      },
      unsubscribe(channel) {
        calls.push(`-${channel}`);
        broker.unsubscribe(channel);
      },
      history: (channel, query) => broker.history(channel, query),
      clear: (channel) => broker.clear(channel),
      channels: (query) => broker.channels(query),
    };
    return { ...engine, broker: { ...watched, ...wrap?.(broker) } };
  }, parts);
}

afterEach(() => house.close());

function failureOf(asked: Promise<unknown>): Promise<unknown> {
  return asked.then(
    () => "no failure",
    (error: unknown) => error,
  );
}

describe("publications", () => {
  test("[WK-1] reach every worker that follows the channel, and no other, ahead of the answer", async () => {
    await build();
    const [a, b, c] = [await house.worker(), await house.worker(), await house.worker()];
    await a.engine.broker.subscribe("x");
    await b.engine.broker.subscribe("x");
    await c.engine.broker.subscribe("y");
    const published = await a.engine.broker.publish("x", draftOf("1"));
    expect(published).toMatchObject({ offset: 1, followers: 2 });
    expect(a.sink.offsets("x")).toEqual([1]);
    expect(await c.engine.broker.publish("x", draftOf("2"))).toMatchObject({ offset: 2, followers: 2 });
    expect(await c.engine.broker.publish("nobody", draftOf("3"))).toMatchObject({ followers: 0 });
    await Promise.all([a.caughtUp(), b.caughtUp(), c.caughtUp()]);
    expect([a, b, c].map(({ sink }) => sink.offsets("x"))).toEqual([[1, 2], [1, 2], []]);
    expect(b.sink.delivered).toEqual(a.sink.delivered);
  });

  test("[WK-1] publications of all workers have one order for all of them", async () => {
    await build();
    const workers = await Promise.all([house.worker(), house.worker(), house.worker()]);
    for (const { engine } of workers) await engine.broker.subscribe("x");
    await Promise.all(
      workers.flatMap(({ engine }, at) =>
        Array.from({ length: 300 }, (_, number) => engine.broker.publish("x", draftOf(`${at}:${number}`))),
      ),
    );
    for (const { caughtUp } of workers) await caughtUp();
    const [first, ...others] = workers.map(({ sink }) => sink.delivered);
    expect(first?.map(({ publication }) => publication.offset)).toEqual(Array.from({ length: 900 }, (_, at) => at + 1));
    for (const other of others) expect(other).toEqual(first ?? []);
  });

  test("a long one, larger than any buffer, arrives whole at all of them", async () => {
    await build();
    const [a, b] = [await house.worker(), await house.worker()];
    for (const { engine } of [a, b]) await engine.broker.subscribe("x");
    const data = JSON.stringify("你".repeat(3_000_000));
    await a.engine.broker.publish("x", { data, keep: true });
    await a.engine.broker.publish("x", draftOf("after"));
    await b.caughtUp();
    expect(b.sink.data.map((text) => text === data)).toEqual([true, false]);
    const page = await b.engine.broker.history("x", PAGE);
    expect(page.publications[0]?.data === data).toBeTrue();
  });
});

describe("subscriptions", () => {
  test("[EN-3] the engine is subscribed as long as one worker is, whatever the order of comings and goings", async () => {
    await build();
    const [a, b] = [await house.worker(), await house.worker()];
    await a.engine.broker.subscribe("x");
    await b.engine.broker.subscribe("x");
    a.engine.broker.unsubscribe("x");
    await a.caughtUp();
    expect(calls).toEqual(["+x", "+x"]);
    await a.engine.broker.publish("x", draftOf("1"));
    await b.caughtUp();
    expect([a, b].map(({ sink }) => sink.offsets("x"))).toEqual([[], [1]]);
    b.engine.broker.unsubscribe("x");
    b.engine.broker.unsubscribe("never");
    await b.caughtUp();
    expect(calls).toEqual(["+x", "+x", "-x"]);
  });

  test("[EN-3] what is on its way for an ended subscription is not taken for the next one's", async () => {
    await build();
    const [a, b] = [await house.worker(), await house.worker()];
    await a.engine.broker.subscribe("x");
    // Handed out in this turn, so it is on its way when the worker unsubscribes.
    void house.server.engine.broker.publish("x", draftOf("old", { keep: false }));
    a.engine.broker.unsubscribe("x");
    const again = a.engine.broker.subscribe("x");
    await again;
    expect(a.sink.data).toEqual([]);
    await b.engine.broker.publish("x", draftOf("new", { keep: false }));
    await a.caughtUp();
    expect(a.sink.data).toEqual(['"new"']);
  });

  test("[EN-3] one worker leaves while another's subscribe is on its way to the store", async () => {
    const waiting: (() => void)[] = [];
    await build((broker) => ({
      subscribe: async (channel) => {
        await new Promise<void>((resolve) => waiting.push(resolve));
        return broker.subscribe(channel);
      },
    }));
    const [a, b] = [await house.worker(), await house.worker()];
    const [first, second] = [a.engine.broker.subscribe("x"), b.engine.broker.subscribe("x")];
    await until(() => waiting.length === 2);
    a.engine.broker.unsubscribe("x");
    await a.caughtUp();
    expect(calls).toEqual([]);
    for (const go of waiting) go();
    await Promise.all([first, second]);
    await a.engine.broker.publish("x", draftOf("1"));
    await b.caughtUp();
    expect([a, b].map(({ sink }) => sink.offsets("x"))).toEqual([[], [1]]);
  });

  test("[EN-3] a subscribe that the store refuses leaves nobody behind, unless it was asked for again", async () => {
    const waiting: ((error?: Error) => void)[] = [];
    await build((broker) => ({
      subscribe: async (channel) => {
        const error = await new Promise<Error | undefined>((resolve) => waiting.push(resolve));
        if (error !== undefined) throw error;
        return broker.subscribe(channel);
      },
    }));
    const a = await house.worker();
    const refused = failureOf(a.engine.broker.subscribe("x"));
    await until(() => waiting.length === 1);
    waiting[0]?.(new ReplyError("unavailable", "the store is away"));
    expect(await refused).toMatchObject({ error: "unavailable" });
    expect(calls).toEqual(["-x"]);
    const [first, second] = [failureOf(a.engine.broker.subscribe("x")), a.engine.broker.subscribe("x")];
    await until(() => waiting.length === 3);
    waiting[1]?.(new ReplyError("unavailable"));
    expect(await first).toMatchObject({ error: "unavailable" });
    waiting[2]?.();
    await second;
    await a.engine.broker.publish("x", draftOf("1"));
    expect(a.sink.offsets("x")).toEqual([1]);
  });

  test("[WK-3] a worker that dies follows nothing any more", async () => {
    await build();
    const [a, b] = [await house.worker(), await house.worker()];
    for (const channel of ["x", "y"]) await a.engine.broker.subscribe(channel);
    await b.engine.broker.subscribe("y");
    calls.length = 0;
    await a.die();
    await until(() => calls.length > 0);
    expect(calls).toEqual(["-x"]);
    expect(await b.engine.broker.publish("y", draftOf("1"))).toMatchObject({ followers: 1 });
  });
});

describe("presence", () => {
  test("[EN-8] who comes and goes is told to all workers that follow the channel, and to no others", async () => {
    await build();
    const [a, b, c] = [await house.worker(), await house.worker(), await house.worker()];
    for (const { engine } of [a, b]) await engine.broker.subscribe("x");
    const member = { session: "s1", user: "bob", info: { a: [1] }, data: "\ud83d" };
    await c.engine.presence.put("x", member);
    await c.engine.presence.drop("x", "s1");
    await Promise.all([a.caughtUp(), b.caughtUp()]);
    const told = [
      { type: "join" as const, channel: "x", member },
      { type: "leave" as const, channel: "x", member },
    ];
    expect([a, b, c].map(({ sink }) => sink.events)).toEqual([told, told, []]);
  });

  test("[WK-9] a worker's entry can be dropped by that worker alone", async () => {
    await build();
    const [a, b] = [await house.worker(), await house.worker()];
    await a.engine.presence.put("x", { session: "s1", user: "bob" });
    await b.engine.presence.drop("x", "s1");
    expect(await b.engine.presence.count("x")).toEqual({ users: 1, sessions: 1 });
    await b.engine.presence.put("x", { session: "s1", user: "bob" });
    await a.engine.presence.drop("x", "s1");
    expect(await a.engine.presence.list("x", 9)).toMatchObject({ users: 1, members: [{ session: "s1" }] });
  });

  test("[WK-9] a dead worker's people leave after the delay of the channel, but not who is back by then", async () => {
    await build(undefined, { leaveDelayOf: (channel) => (channel === "slow" ? 5_000 : 3_000) });
    const [a, b] = [await house.worker(), await house.worker()];
    for (const channel of ["x", "slow"]) await b.engine.broker.subscribe(channel);
    for (const channel of ["x", "slow"]) {
      for (const user of ["bob", "eve"]) await a.engine.presence.put(channel, { session: `s-${user}`, user });
    }
    await b.caughtUp();
    b.sink.events.length = 0;
    await a.die();
    await until(() => house.clock.timers > 1);
    await b.engine.presence.put("x", { session: "s-bob", user: "bob" });
    house.clock.advance(2_999);
    expect(await b.engine.presence.count("x")).toEqual({ users: 2, sessions: 2 });
    house.clock.advance(1);
    expect(await b.engine.presence.count("x")).toEqual({ users: 1, sessions: 1 });
    house.clock.advance(2_000);
    expect(await b.engine.presence.count("slow")).toEqual({ users: 0, sessions: 0 });
    expect(b.sink.events.map(({ type, channel, member }) => `${type} ${channel} ${member.user}`)).toEqual([
      "leave x eve",
      "leave slow bob",
      "leave slow eve",
    ]);
  });
});

describe("failures", () => {
  test("what the engine refuses comes as it was; what it breaks on is logged here and `unavailable` there", async () => {
    const failures = [
      new ReplyError("rateLimited", "not so fast: really", 1_234),
      new ReplyError("badField", undefined, undefined, "a.b[0]"),
      new TypeError("a bug"),
    ];
    await build(() => ({
      publish: () => Promise.reject(failures.shift() ?? new Error("too many")),
      clear: () => {
        throw new Error("in the call itself");
      },
    }));
    const { engine } = await house.worker();
    const publish = (): Promise<unknown> => failureOf(engine.broker.publish("x", draftOf("1")));
    expect(await publish()).toEqual(new ReplyError("rateLimited", "not so fast: really", 1_234));
    expect(await publish()).toMatchObject({
      error: "badField",
      path: "a.b[0]",
      message: new ReplyError("badField").message,
    });
    expect(house.errors).toEqual([]);
    expect(await publish()).toEqual(new ReplyError("unavailable"));
    expect(await failureOf(engine.broker.clear("x"))).toEqual(new ReplyError("unavailable"));
    expect(house.errors.map(({ fields }) => String(fields?.["error"]))).toEqual([
      "TypeError: a bug",
      "Error: in the call itself",
    ]);
  });

  test("the engine's health is known to every worker", async () => {
    let health: ReturnType<Engine["health"]> = { ready: false, reason: "the disk is full" };
    house = await buildRemote((sink) => ({
      ...openMemoryEngine(settingsOf(), sink, new FakeClock()),
      health: () => health,
    }));
    const workers = [await house.worker(), await house.worker()];
    for (const { engine } of workers) expect(engine.health()).toEqual({ ready: false, reason: "the disk is full" });
    health = { ready: true };
    house.clock.advance(1_000);
    for (const { engine, caughtUp } of workers) {
      await caughtUp();
      expect(engine.health()).toEqual({ ready: true });
    }
  });
});

/** An engine that answers publishes when it is told to. */
async function buildSlow(): Promise<(() => void)[]> {
  const waiting: (() => void)[] = [];
  await build((broker) => ({
    publish: async (channel, draft) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return broker.publish(channel, draft);
    },
  }));
  return waiting;
}

describe("the end", () => {
  test("[ST-6] a worker that closes waits for what the engine has not answered yet", async () => {
    const waiting = await buildSlow();
    const { engine, losses } = await house.worker();
    const published = engine.broker.publish("x", draftOf("1"));
    let isClosed = false;
    const closing = engine.close().then(() => (isClosed = true));
    await until(() => waiting.length === 1);
    await (await house.worker()).caughtUp();
    expect(isClosed).toBeFalse();
    waiting[0]?.();
    expect(await published).toMatchObject({ offset: 1 });
    await closing;
    expect(losses()).toBe(0);
  });

  test("[ST-6] so does a supervisor", async () => {
    const waiting = await buildSlow();
    const { engine, losses } = await house.worker();
    const published = engine.broker.publish("x", draftOf("1"));
    await until(() => waiting.length === 1);
    const closing = house.server.close();
    await Bun.sleep(5);
    expect(losses()).toBe(0);
    waiting[0]?.();
    expect(await published).toMatchObject({ offset: 1 });
    await closing;
    await until(() => losses() === 1);
  });

  test("what was asked of a peer ends with the peer, or with the one who asked, and not only after its time", async () => {
    await build();
    const [a, b] = [await house.worker(), await house.worker()];
    let asked = 0;
    b.engine.bus.listen(() => {
      asked++;
      return new Promise(() => undefined);
    });
    await until(() => a.engine.bus.peers().length === 1);
    const orphaned = failureOf(a.engine.bus.ask(b.mark, 1));
    await until(() => asked === 1);
    await b.die();
    expect(await orphaned).toMatchObject({ error: "unavailable" });
    const c = await house.worker();
    c.engine.bus.listen(() => new Promise(() => undefined));
    await until(() => a.engine.bus.peers().length === 1);
    const dropped = failureOf(a.engine.bus.ask(c.mark, 1));
    await a.engine.close();
    expect(await dropped).toMatchObject({ error: "unavailable" });
    // The beat of the supervisor alone.
    expect(house.clock.timers).toBe(1);
  });
});
