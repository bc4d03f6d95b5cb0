/** Presence over several processes on Redis: deaths, returns, and Redis without its data. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { type NodeOptions, openRedisNode, type RedisNode } from "../../../test/support/redis-engine.ts";
import { until } from "../../../test/support/redis-wait.ts";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { ReplyError } from "../../base/failures.ts";
import type { EngineSettings } from "../../ports/engine.ts";
import type { Answering } from "../../ports/node-bus.ts";
import { keyOf } from "./keys.ts";

const SLOW_MS = 30_000;

let redis: RedisServer;
let prefix = "";
let opened: RedisNode[] = [];
let count = 0;

beforeAll(async () => {
  redis = await startRedis({ appendonly: "always" });
});

afterAll(() => redis.stop());

afterEach(async () => {
  for (const node of opened) node.mend();
  await Promise.all(opened.map((node) => node.close()));
  opened = [];
  count++;
});

async function openNode(changed: Partial<NodeOptions> = {}, engine: Partial<EngineSettings> = {}): Promise<RedisNode> {
  prefix = `presence${count}`;
  const node = await openRedisNode({ urls: [redis.url], prefix, ...changed }, engine);
  opened.push(node);
  return node;
}

/** As many as are asked for, knowing of each other, all following `a` and `b`. */
async function openNodes(many: number): Promise<[RedisNode, RedisNode, RedisNode]> {
  const nodes: RedisNode[] = [];
  for (let at = 0; at < many; at++) nodes.push(await openNode());
  for (const { engine } of nodes) for (const channel of ["a", "b"]) await engine.broker.subscribe(channel);
  await until("peers", () => Promise.resolve(nodes.every(({ engine }) => engine.bus.peers().length === many - 1)));
  // Who asks for two takes two.
  return nodes as [RedisNode, RedisNode, RedisNode];
}

/** Whatever was published to `a` before has come. */
async function heard(...nodes: RedisNode[]): Promise<void> {
  const before = nodes.map(({ sink }) => sink.delivered.length);
  await nodes[0]?.engine.broker.publish("a", { data: "1", keep: false });
  await until("a message", () =>
    Promise.resolve(nodes.every(({ sink }, at) => sink.delivered.length > (before[at] ?? 0))),
  );
}

function failureOf(done: Promise<unknown>): Promise<unknown> {
  return done.then(
    () => "it was done",
    (error: unknown) => error,
  );
}

const echo: Answering = (question) => Promise.resolve(question);

async function countOf(node: RedisNode, channel: string): Promise<number> {
  // Redis may be away for a moment.
  return await node.engine.presence.count(channel).then(
    ({ sessions }) => sessions,
    () => -1,
  );
}

async function keys(): Promise<string[]> {
  const text = await redis.cli("KEYS", `${prefix}*`);
  return text.split("\n").filter((key) => key !== "");
}

describe("several processes", () => {
  test("[EN-8] all that are subscribed are told once, and a session that moves neither comes nor goes", async () => {
    const [a, b] = await openNodes(2);
    await a.engine.presence.put("a", { session: "s1", user: 'b"o\\b/', data: { text: "你\n" }, info: [1] });
    await b.engine.presence.put("a", { session: "s1", user: 'b"o\\b/', data: 2 });
    await a.engine.presence.drop("a", "s1");
    await heard(a, b);
    const member = { session: "s1", user: 'b"o\\b/', data: { text: "你\n" }, info: [1] };
    for (const { sink } of [a, b]) expect(sink.events.splice(0)).toEqual([{ type: "join", channel: "a", member }]);
    const listed = { members: [{ session: "s1", user: 'b"o\\b/', data: 2 }], users: 1, sessions: 1 };
    expect(await a.engine.presence.list("a", 10)).toEqual(listed);
    await b.engine.presence.drop("a", "s1");
    await heard(a, b);
    for (const node of [a, b]) expect(node.told()).toEqual(['-a:b"o\\b/']);
    expect((await keys()).filter((key) => /:p.:/.test(key))).toEqual([]);
  });

  test("[RD-8] a process that stops in order is gone at once, and so is everybody it had", async () => {
    const [a, b] = await openNodes(2);
    for (let n = 0; n < 300; n++) void b.engine.presence.put(n % 2 === 0 ? "a" : `c${n}`, { session: `s${n}` });
    await b.engine.presence.put("a", { session: "last", user: "bob" });
    await b.close();
    expect(await a.engine.presence.count("a")).toEqual({ users: 0, sessions: 0 });
    await heard(a);
    expect(a.engine.bus.peers()).toEqual([]);
    expect(a.told().filter((line) => line.startsWith("-"))).toHaveLength(151);
    expect((await keys()).filter((key) => /:p.:/.test(key))).toEqual([]);
  });

  test("a long list comes in pages, whole and in the order of arrival", async () => {
    const [a] = await openNodes(1);
    const sessions = Array.from({ length: 1_234 }, (_, n) => `s${n}`);
    await Promise.all(sessions.map((session) => a.engine.presence.put("a", { session })));
    for (const limit of [1, 500, 501, 1_000, 1_234, 5_000]) {
      const list = await a.engine.presence.list("a", limit);
      expect(list).toMatchObject({ users: 1_234, sessions: 1_234 });
      expect(list.members.map(({ session }) => session)).toEqual(sessions.slice(0, limit));
    }
  });

  test("[RD-7] all that is kept about presence and peers ends by itself if nobody is left", async () => {
    const [a] = await openNodes(1);
    await a.engine.presence.put("a", { session: "s1", user: "bob" });
    await a.engine.state.acknowledge("a", "bob", { epoch: "e", offset: 1 });
    await a.engine.state.acknowledge("a", "bob,phone", { epoch: "e", offset: 1 });
    const found = await keys();
    expect(found.length).toBeGreaterThan(5);
    for (const key of found) expect([key, Number(await redis.cli("PTTL", key)) > 0]).toEqual([key, true]);
  });

  // They were fields of a numbering that its publications keep alive: one for everybody who had ever been there.
  test("[RD-7] positions that are not used any more go, also where their channel goes on", async () => {
    const positionTtlMs = 150;
    const { engine } = await openNode({}, { positionTtlMs });
    const meta = keyOf(prefix, "m", "a");
    for (let number = 0; number < 50; number++) {
      await engine.state.acknowledge("a", `user${number}`, { epoch: "e", offset: 1 });
      await engine.state.acknowledge("a", `user${number},phone`, { epoch: "e", offset: 1 });
    }
    let offset = 1;
    await until("they are gone", async () => {
      offset++;
      await engine.state.acknowledge("a", "bob", { epoch: "e", offset });
      await engine.state.acknowledge("a", "bob,phone", { epoch: "e", offset });
      return (await redis.cli("HLEN", meta)) === "2";
    });
    expect(await engine.state.position("a", "bob")).toEqual({ epoch: "e", offset });
    expect(await engine.state.position("a", "bob,phone")).toEqual({ epoch: "e", offset });
  });

  test("[RD-13] those with another prefix, or in another database, are not noticed", async () => {
    const a = await openNode();
    const others = [await openNode({ prefix: `${prefix}-other` }), await openNode({ database: 1 })];
    for (const { engine } of others) await engine.broker.subscribe("a");
    await a.engine.presence.put("a", { session: "s1" });
    await a.engine.broker.publish("a", { data: "1", keep: false });
    expect(a.engine.bus.peers()).toEqual([]);
    for (const { engine, sink } of others) {
      expect(await engine.presence.count("a")).toEqual({ users: 0, sessions: 0 });
      expect(engine.bus.peers()).toEqual([]);
      // Behind whatever may have come.
      await engine.broker.publish("a", { data: "2", keep: true });
      expect([sink.events, sink.data]).toEqual([[], ["2"]]);
    }
  });
});

describe("a dead process", () => {
  test(
    "[RD-8] what it had goes once, whoever finds it first; what has moved stays",
    async () => {
      const [a, b, c] = await openNodes(3);
      await b.engine.presence.put("a", { session: "s1", user: "bob" });
      await b.engine.presence.put("a", { session: "s2", user: "eve" });
      await b.engine.presence.put("a", { session: "s3" });
      await b.engine.presence.put("b", { session: "s4", user: "ann" });
      await c.engine.presence.put("a", { session: "s5", user: "bob" });
      await c.engine.presence.put("b", { session: "s4", user: "ann" });
      await heard(a, c);
      for (const node of [a, c]) node.told();
      const { self } = b.engine.bus;
      b.kill();
      await until("the end", async () => (await countOf(a, "a")) === 1);
      expect([a, c].flatMap(({ engine }) => engine.bus.peers())).not.toContain(self);
      await heard(a, c);
      for (const node of [a, c]) expect(node.told().toSorted()).toEqual(["-a:eve", "-a:s3"]);
      expect((await a.engine.presence.list("a", 9)).members).toEqual([{ session: "s5", user: "bob" }]);
      expect(await a.engine.presence.count("b")).toEqual({ users: 1, sessions: 1 });
    },
    SLOW_MS,
  );

  test(
    "[RD-8] whoever dies while it cleans up is cleaned up after, and its work is finished",
    async () => {
      const [a, b, c] = await openNodes(3);
      const puts: Promise<void>[] = [];
      for (let n = 0; n < 3_000; n++)
        puts.push(a.engine.presence.put(n % 3 === 0 ? "a" : `r${n}`, { session: `s${n}` }));
      puts.push(b.engine.presence.put("a", { session: "b" }), c.engine.presence.put("a", { session: "c" }));
      await Promise.all(puts);
      await heard(b, c);
      for (const node of [b, c]) node.told();
      a.kill();
      await until("a claim", () =>
        Promise.resolve([b, c].some(({ log }) => log.lines.some((line) => /taken for dead/.test(line)))),
      );
      const [dying, left] = b.log.lines.some((line) => /taken for dead/.test(line)) ? [b, c] : [c, b];
      dying.kill();
      await until("the end", async () => (await countOf(left, "a")) === 1 && left.engine.bus.peers().length === 0);
      await until(
        "the last room",
        async () => (await keys()).filter((key) => /:(pw|pm|po|pp):/.test(key)).length === 4,
      );
      await heard(left);
      const told = left.told();
      expect(new Set(told).size).toBe(told.length);
      expect(told).toHaveLength(1_001);
      await until("the burial", async () => !(await keys()).some((key) => key.endsWith(":dying")));
    },
    SLOW_MS,
  );

  test(
    "[RD-8] one that lives after all is told, goes on under its mark, and what it puts then stays",
    async () => {
      const [a, b] = await openNodes(2);
      await b.engine.presence.put("a", { session: "s1", user: "bob" });
      await b.engine.presence.put("a", { session: "s2", user: "eve" });
      const { self } = b.engine.bus;
      b.freeze();
      await until("the end", async () => (await countOf(a, "a")) === 0);
      // Redis would keep what it said for it, and what is said to its clients.
      await until("its connections' end", async () => {
        const clients = await redis.cli("CLIENT", "LIST");
        return clients.split("\n").filter((line) => line.includes("name=longwire ")).length === 1;
      });
      // Its client came back to it before it was told, and to the other one.
      const late = b.engine.presence.put("a", { session: "s2", user: "eve" });
      await a.engine.presence.put("a", { session: "s1", user: "bob" });
      b.thaw();
      await Promise.allSettled([late]);
      await until("the fence", () => Promise.resolve(b.sink.fences === 1));
      await until("its return", () => Promise.resolve(a.engine.bus.peers().includes(self)));
      await until("the late one's end", async () => (await countOf(a, "a")) === 1);
      await b.engine.presence.put("a", { session: "s3", user: "new" });
      await b.engine.presence.drop("a", "s1");
      // Longer than a lease: it is not claimed again.
      await Bun.sleep(2_000);
      expect((await a.engine.presence.list("a", 9)).members.map(({ session }) => session)).toEqual(["s1", "s3"]);
      expect({ a: a.sink.fences, b: b.sink.fences }).toEqual({ a: 0, b: 1 });
      b.engine.bus.listen(echo);
      expect(await a.engine.bus.ask(self, 1)).toBe(1);
    },
    SLOW_MS,
  );

  test(
    "[RD-8] while Redis is away for everybody nobody dies of it",
    async () => {
      const times = { renewMs: 250, leaseMs: 4_000 };
      const [a, b] = [await openNode({ times }), await openNode({ times })];
      for (const { engine } of [a, b]) await engine.broker.subscribe("a");
      await b.engine.presence.put("a", { session: "s1", user: "bob" });
      // Longer than a lease; and one of them needs a moment longer to come back.
      b.cut();
      redis.pause();
      await Bun.sleep(4_700);
      redis.continue();
      await Bun.sleep(500);
      b.mend();
      await until("its return", () => Promise.resolve(b.engine.health().ready));
      await Bun.sleep(3_000);
      expect([a, b].map(({ sink }) => sink.fences)).toEqual([0, 0]);
      expect(await a.engine.presence.count("a")).toEqual({ users: 1, sessions: 1 });
      expect([...a.told(), ...b.told()]).toEqual(["+a:bob", "+a:bob"]);
    },
    SLOW_MS,
  );
});

describe("Redis away", () => {
  test(
    "[RD-2] a put is unavailable and leaves nothing behind, a drop is done on the return",
    async () => {
      const [a, b] = await openNodes(2);
      await a.engine.presence.put("a", { session: "s1", user: "bob", data: 1 });
      await a.engine.presence.put("a", { session: "s2", user: "eve" });
      a.cut();
      await until("its end", () => Promise.resolve(!a.engine.health().ready));
      expect(await failureOf(a.engine.presence.put("a", { session: "s3" }))).toMatchObject({ error: "unavailable" });
      expect(await failureOf(a.engine.presence.put("a", { session: "s1", user: "bob", data: 2 }))).toBeInstanceOf(
        ReplyError,
      );
      expect(await failureOf(a.engine.presence.drop("a", "s2"))).toBe("it was done");
      expect(await failureOf(a.engine.presence.list("a", 1))).toMatchObject({ error: "unavailable" });
      a.mend();
      await until("the drop", async () => (await countOf(b, "a")) === 1);
      expect((await b.engine.presence.list("a", 9)).members).toEqual([{ session: "s1", user: "bob", data: 1 }]);
      await heard(b);
      expect(b.told()).toEqual(["+a:bob", "+a:eve", "-a:eve"]);
    },
    SLOW_MS,
  );

  test(
    "[RD-2] a put whose answer was lost is undone",
    async () => {
      const [a, b] = await openNodes(2);
      await a.engine.presence.put("a", { session: "s1", user: "bob", data: 1 });
      redis.pause();
      const first = failureOf(a.engine.presence.put("a", { session: "s1", user: "bob", data: 2 }));
      const second = failureOf(a.engine.presence.put("b", { session: "s2", user: "eve" }));
      // It is in Redis's hands, which will do it before it notices that nobody waits for the answer.
      await Bun.sleep(100);
      a.cut();
      redis.continue();
      for (const failure of await Promise.all([first, second])) expect(failure).toMatchObject({ error: "unavailable" });
      await until("eve", () => Promise.resolve(b.sink.events.some(({ member }) => member.user === "eve")));
      a.mend();
      await until("the return", () => Promise.resolve(a.engine.health().ready));
      await until("eve's end", async () => (await countOf(b, "b")) === 0);
      const { members } = await b.engine.presence.list("a", 9);
      expect(members).toEqual([{ session: "s1", user: "bob", data: 1 }]);
      await heard(b);
      expect(b.told()).toEqual(["+a:bob", "+b:eve", "-b:eve"]);
    },
    SLOW_MS,
  );

  for (const keepData of [true, false]) {
    test(
      `[RD-5] after a restart ${keepData ? "with" : "without"} its data everybody is there, and nobody has come or gone`,
      async () => {
        const [a, b] = await openNodes(2);
        const puts: Promise<void>[] = [];
        for (let n = 0; n < 200; n++) puts.push(a.engine.presence.put(`r${n}`, { session: `s${n}` }));
        puts.push(a.engine.presence.put("a", { session: "s1", user: "bob", data: 1 }));
        puts.push(b.engine.presence.put("a", { session: "s2", user: "bob" }));
        await Promise.all(puts);
        await heard(a, b);
        for (const node of [a, b]) expect(node.told()).toEqual(["+a:bob"]);
        await redis.restart({ keepData, downMs: 500 });
        await until("the return", async () => (await countOf(a, "a")) === 2 && (await countOf(b, "r199")) === 1);
        await until("peers", () => Promise.resolve([a, b].every(({ engine }) => engine.bus.peers().length === 1)));
        for (let n = 0; n < 200; n++) expect(await countOf(b, `r${n}`)).toBe(1);
        expect(await b.engine.presence.count("a")).toEqual({ users: 1, sessions: 2 });
        await until("both follow again", async () => {
          await heard(a, b);
          return true;
        });
        expect([...a.told(), ...b.told()]).toEqual([]);
        expect([a.sink.fences, b.sink.fences]).toEqual([0, 0]);
        await a.engine.presence.drop("a", "s1");
        await b.engine.presence.drop("a", "s2");
        await heard(a, b);
        for (const node of [a, b]) expect(node.told()).toEqual(["-a:bob"]);
      },
      SLOW_MS,
    );
  }
});
