import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../test/support/fake-clock.ts";
import type { Logger } from "../base/log.ts";
import type { ConnectQuestion, PublishQuestion, SubscribeQuestion } from "../ports/hooks.ts";
import { AnswerCache } from "./answer-cache.ts";
import { Asker } from "./asker.ts";
import { webhook } from "./webhook.ts";

const CONNECT: ConnectQuestion = {
  session: "s1",
  resumes: undefined,
  client: undefined,
  request: { transport: "websocket", headers: { cookie: "sid=1" }, query: {} },
  protocol: "native",
  address: "192.0.2.1",
  token: undefined,
};
const SUBSCRIBE: SubscribeQuestion = { session: "s1", user: "bob", channel: "a", token: undefined };
const PUBLISH: PublishQuestion = {
  session: "s1",
  user: "bob",
  channel: "a",
  data: '{"n":1.0}',
  encoding: undefined,
  name: "said",
  key: "k",
};

/** A backend whose answer is a value, or text as it stands. */
function build(answer: unknown, status = 200) {
  const clock = new FakeClock(1_000_000);
  const bodies: unknown[] = [];
  const reasons: unknown[] = [];
  const log: Logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: (_, fields) => void reasons.push(fields?.["reason"]),
    error: () => undefined,
  };
  const backend = { answer, status };
  const asker = new Asker({
    clock,
    log,
    timeoutMs: 1000,
    concurrencyMax: 10,
    queueMax: 10,
    call: (body) => {
      bodies.push(JSON.parse(body));
      const text = typeof backend.answer === "string" ? backend.answer : JSON.stringify(backend.answer);
      return Promise.resolve({ status: backend.status, text });
    },
  });
  return { hooks: webhook({ asker, clock, depthMax: 4 }), clock, bodies, reasons, backend };
}

function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "no failure",
    (error: unknown) => error,
  );
}

describe("questions", () => {
  test("[HK-1] are JSON, and leave out what there is not", async () => {
    const { hooks, bodies } = build({ allow: true });
    await hooks.connect({
      ...CONNECT,
      resumes: "s0",
      token: "t",
      request: { ...CONNECT.request, query: { page: "1" } },
    });
    await hooks.subscribe(SUBSCRIBE);
    await hooks.publish(PUBLISH);
    await hooks.publish({
      ...PUBLISH,
      user: undefined,
      name: undefined,
      key: undefined,
      data: '"AP8="',
      encoding: "base64",
    });
    expect(bodies).toEqual([
      {
        event: "connect",
        session: "s1",
        resumes: "s0",
        transport: "websocket",
        protocol: "native",
        address: "192.0.2.1",
        headers: { cookie: "sid=1" },
        query: { page: "1" },
        token: "t",
      },
      { event: "subscribe", session: "s1", user: "bob", channel: "a" },
      { event: "publish", session: "s1", user: "bob", channel: "a", name: "said", key: "k", data: { n: 1 } },
      { event: "publish", session: "s1", channel: "a", data: "AP8=", encoding: "base64" },
    ]);
  });
});

describe("answers", () => {
  test("[HK-3] say who it is; a number is a user's name too, and null stands for nothing", async () => {
    const { hooks } = build({
      allow: { subscribe: ["room:*"] },
      user: 42,
      info: { name: "Bob" },
      channels: ["news"],
      expiresInSeconds: 1.5,
      data: { a: 1 },
      code: 0,
    });
    expect(await hooks.connect(CONNECT)).toEqual({
      identity: {
        user: "42",
        issuedAt: 1_000_000,
        expiresAt: 1_001_500,
        channels: ["news"],
        info: { name: "Bob" },
        allow: { subscribe: ["room:*"] },
      },
      data: { a: 1 },
    });
    const nulls = { user: null, info: null, channels: null, expiresInSeconds: null, cacheSeconds: null };
    expect(await build({ allow: true, ...nulls, data: [] }).hooks.connect(CONNECT)).toMatchObject({
      identity: { user: undefined, info: undefined, channels: [], expiresAt: undefined, allow: undefined },
      data: {},
    });
  });

  test("[CO-24] count from when the question was asked: a revocation in between is newer", async () => {
    const { hooks, clock, backend } = build({ allow: true, user: "bob", expiresInSeconds: 1 });
    Object.defineProperty(backend, "status", {
      get: () => {
        clock.advance(500);
        return 200;
      },
    });
    const { identity } = await hooks.connect(CONNECT);
    expect(identity).toMatchObject({ issuedAt: 1_000_000, expiresAt: 1_001_500 });
  });

  test("[HK-9] change what is published, or leave it as it is", async () => {
    const outcome = (answer: object): Promise<unknown> => build(answer).hooks.publish(PUBLISH);
    expect(await outcome({ allow: true })).toEqual({ data: '{"n":1.0}', encoding: undefined, name: "said" });
    expect(await outcome({ allow: true, name: null })).toMatchObject({ data: '{"n":1.0}', name: undefined });
    expect(await outcome({ allow: true, data: null, name: "x" })).toMatchObject({ data: "null", name: "x" });
    expect(await outcome({ allow: true, data: "AP8=", encoding: "base64" })).toMatchObject({ encoding: "base64" });
    const bytes = build({ allow: true }).hooks.publish({ ...PUBLISH, data: '"AP8="', encoding: "base64" });
    expect(await bytes).toMatchObject({ data: '"AP8="', encoding: "base64" });
  });

  test("[HK-4] `allow: false` and 403 refuse, with the application's words", async () => {
    for (const [answer, status, message] of [
      [{ allow: false, reason: "banned" }, 200, "not allowed: banned"],
      [{ allow: false }, 200, "not allowed"],
      [{ reason: "banned" }, 403, "not allowed: banned"],
      ["<h1>Forbidden</h1>", 403, "not allowed"],
      [{ allow: false, reason: "x".repeat(1000) }, 200, `not allowed: ${"x".repeat(200)}`],
    ] as const) {
      const { hooks, reasons } = build(answer, status);
      expect(await failureOf(hooks.connect(CONNECT))).toMatchObject({ error: "forbidden", message });
      expect(await failureOf(hooks.subscribe(SUBSCRIBE))).toMatchObject({ error: "forbidden", message });
      expect(await failureOf(hooks.publish(PUBLISH))).toMatchObject({ error: "forbidden", message });
      expect(reasons).toEqual([]);
    }
  });

  const deep = `{"allow":true,"info":${"[".repeat(30_000)}${"]".repeat(30_000)}}`;
  const bad: [string, unknown, number, string][] = [
    ["an error", { allow: true }, 500, "status 500"],
    ["a redirect to a page to log in at", "", 302, "status 302"],
    ["a wrong secret", { allow: false }, 401, "status 401"],
    ["nothing", "", 204, "status 204"],
    ["no JSON", "<html>", 200, "the answer is no JSON object"],
    ["a list", "[]", 200, "the answer is no JSON object"],
    ["no `allow`", {}, 200, "allow"],
    ["`allow` as text", { allow: "true" }, 200, "allow"],
    ["patterns of an unknown action", { allow: { read: ["*"] } }, 200, "allow"],
    ["a user that is no name", { allow: true, user: "a b" }, 200, "`user`: the user name holds white space"],
    ["an empty user", { allow: true, user: "" }, 200, "`user`: the user name is empty"],
    ["a channel that is no name", { allow: true, channels: ["ok", "a,b"] }, 200, "`channels.1`: the channel name"],
    ["too many channels", { allow: true, channels: Array.from({ length: 1001 }, () => "a") }, 200, "`channels`"],
    ["a time that is over", { allow: true, expiresInSeconds: 0 }, 200, "`expiresInSeconds`"],
    ["a time without end", '{"allow":true,"cacheSeconds":-1}', 200, "`cacheSeconds`"],
    ["data that are no object", { allow: true, data: [1] }, 200, "`data` is no object"],
    ["too much to show", { allow: true, info: "x".repeat(5000) }, 200, "`info` has more than 4096 bytes"],
    ["a nest", deep, 200, "`info` is nested deeper than 4"],
  ];
  test.each(bad)("[HK-5] %s is no answer", async (_, answer, status, reason) => {
    const { hooks, reasons } = build(answer, status);
    expect(await failureOf(hooks.connect(CONNECT))).toMatchObject({ error: "unavailable" });
    expect(reasons).toEqual([expect.stringContaining(reason)]);
  });

  test.each([
    ["a right in place of a yes", { allow: { publish: ["*"] } }],
    ["bytes that are no base64", { allow: true, data: "%", encoding: "base64" }],
    ["an unknown encoding", { allow: true, data: "x", encoding: "hex" }],
    ["a name that is too long", { allow: true, name: "x".repeat(201) }],
    ["a nest", { allow: true, data: [[[[[1]]]]] }],
  ])("[HK-5] [HK-9] %s is no answer about a publication", async (_, answer) => {
    expect(await failureOf(build(answer).hooks.publish(PUBLISH))).toMatchObject({ error: "unavailable" });
  });

  test("[HK-3] names of JavaScript's own are names like others", async () => {
    const answer = '{"allow":true,"user":"__proto__","data":{"__proto__":{"x":1},"constructor":2}}';
    const { identity, data } = await build(answer).hooks.connect(CONNECT);
    expect(identity.user).toBe("__proto__");
    expect(Object.keys(data ?? {})).toEqual(["__proto__", "constructor"]);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });
});

describe("memory", () => {
  test("[HK-12] nothing is remembered unless the answer says so, and no longer than that", async () => {
    const { hooks, bodies, clock, backend } = build({ allow: true, user: "bob" });
    await hooks.connect(CONNECT);
    await hooks.connect(CONNECT);
    expect(bodies).toHaveLength(2);
    backend.answer = { allow: true, user: "bob", cacheSeconds: 10, expiresInSeconds: 60 };
    const first = await hooks.connect(CONNECT);
    clock.advance(9999);
    expect(await hooks.connect({ ...CONNECT, session: "s2", resumes: "s1" })).toEqual(first);
    expect(bodies).toHaveLength(3);
    clock.advance(1);
    await hooks.connect(CONNECT);
    expect(bodies).toHaveLength(4);
  });

  test("[HK-12] the same question is one that differs in its session alone", async () => {
    const { hooks, bodies } = build({ allow: true, cacheSeconds: 10 });
    const { request } = CONNECT;
    const connects: ConnectQuestion[] = [
      CONNECT,
      { ...CONNECT, token: "t" },
      { ...CONNECT, client: "phone" },
      { ...CONNECT, address: "192.0.2.2" },
      { ...CONNECT, request: { ...request, transport: "sse" } },
      { ...CONNECT, request: { ...request, headers: { cookie: "sid=2" } } },
      { ...CONNECT, request: { ...request, query: { page: "1" } } },
    ];
    const subscribes: SubscribeQuestion[] = [
      SUBSCRIBE,
      { ...SUBSCRIBE, user: undefined },
      { ...SUBSCRIBE, channel: "b" },
      { ...SUBSCRIBE, token: "t" },
    ];
    for (let round = 0; round < 2; round++) {
      for (const question of connects) await hooks.connect(question);
      for (const question of subscribes) await hooks.subscribe({ ...question, session: `s${round}` });
    }
    expect(bodies).toHaveLength(connects.length + subscribes.length);
  });

  test("[HK-12] refusals too; failures and publications never", async () => {
    const { hooks, bodies, backend } = build({ allow: false, reason: "no", cacheSeconds: 10 });
    for (let n = 0; n < 3; n++) {
      expect(await failureOf(hooks.subscribe(SUBSCRIBE))).toMatchObject({
        error: "forbidden",
        message: "not allowed: no",
      });
    }
    expect(bodies).toHaveLength(1);
    for (let n = 0; n < 3; n++) expect(await failureOf(hooks.publish(PUBLISH))).toMatchObject({ error: "forbidden" });
    expect(bodies).toHaveLength(4);
    backend.answer = { allow: "?", cacheSeconds: 10 };
    for (let n = 0; n < 3; n++) expect(await failureOf(hooks.connect(CONNECT))).toMatchObject({ error: "unavailable" });
    expect(bodies).toHaveLength(7);
  });

  test("[HK-12] an hour at most", async () => {
    const { hooks, bodies, clock } = build({ allow: true, cacheSeconds: 1e9 });
    await hooks.subscribe(SUBSCRIBE);
    clock.advance(3_600_000);
    await hooks.subscribe(SUBSCRIBE);
    expect(bodies).toHaveLength(2);
  });

  test("[HK-12] bounded in number and bytes, the oldest goes first; what is over takes no room", () => {
    const clock = new FakeClock();
    const cache = new AnswerCache<number>(clock, 3, 2000);
    for (let n = 1; n <= 4; n++) cache.put(`k${n}`, n, 1000, 10);
    expect([1, 2, 3, 4].map((n) => cache.get(`k${n}`))).toEqual([undefined, 2, 3, 4]);
    cache.put("large", 5, 1000, 1700);
    expect(["k2", "k3", "k4", "large"].map((key) => cache.get(key))).toEqual([undefined, undefined, undefined, 5]);
    cache.put("large", 6, 1000, 10);
    cache.put("k1", 1, 500, 10);
    expect([cache.get("large"), cache.get("k1")]).toEqual([6, 1]);
    clock.advance(500);
    expect([cache.get("large"), cache.get("k1")]).toEqual([6, undefined]);
    cache.put("enormous", 7, 1000, 5000);
    expect([cache.get("enormous"), cache.get("large")]).toEqual([undefined, undefined]);
  });
});
