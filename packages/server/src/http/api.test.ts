import { beforeEach, describe, expect, test } from "bun:test";
import { type Api, KEYS, startApi } from "../../test/support/api.ts";
import { ReplyError } from "../base/failures.ts";
import { allOperations } from "./api.ts";
import type { Operation } from "./operation.ts";

let api: Api;
beforeEach(() => {
  api = startApi();
});

/** One good request per operation: body, status, the call of Control that it must become, and how the answer begins. */
const GOOD: readonly (readonly [string, string, unknown, readonly unknown[] | undefined])[] = [
  [
    "POST",
    "/api/publish",
    { channel: "room:1", data: { a: 1 }, name: "n", key: "k", exclude: "s2", history: true },
    ["publish", { channel: "room:1", data: '{"a":1}', name: "n", key: "k", exclude: "s2", history: true }],
  ],
  [
    "POST",
    "/api/batch",
    { publications: [{ user: "bob", data: null }] },
    ["publish", { channel: "@bob", data: "null" }],
  ],
  ["GET", "/api/channels?prefix=ro&after=a&limit=2", undefined, ["channels", { prefix: "ro", after: "a", limit: 2 }]],
  ["GET", "/api/channels", undefined, ["channels", { limit: 100 }]],
  ["GET", "/api/channels/room:1", undefined, ["channel", "room:1"]],
  ["GET", "/api/channels/room:1/presence", undefined, ["presence", "room:1"]],
  ["GET", "/api/channels/room:1/history", undefined, ["history", "room:1", {}]],
  [
    "GET",
    "/api/channels/room:1/history?since=earliest&limit=5&reverse=false",
    undefined,
    ["history", "room:1", { since: "earliest", limit: 5, reverse: false }],
  ],
  [
    "GET",
    "/api/channels/room:1/history?since=latest&reverse=1",
    undefined,
    ["history", "room:1", { since: "latest", reverse: true }],
  ],
  [
    "GET",
    "/api/channels/room:1/history?since=a-_9.12",
    undefined,
    ["history", "room:1", { since: { epoch: "a-_9", offset: 12 } }],
  ],
  ["DELETE", "/api/channels/room:1/history", undefined, ["clearHistory", "room:1"]],
  ["GET", "/api/users?limit=1000", undefined, ["users", { limit: 1000 }]],
  ["GET", "/api/users/bob", undefined, ["user", "bob"]],
  [
    "POST",
    "/api/users/bob/disconnect",
    { reason: "late", reconnect: true },
    ["disconnectUser", "bob", { reason: "late", reconnect: true }],
  ],
  ["POST", "/api/users/bob/disconnect", undefined, ["disconnectUser", "bob", { reconnect: false }]],
  [
    "POST",
    "/api/users/bob/disconnect",
    { revokeSeconds: 60 },
    ["disconnectUser", "bob", { reconnect: false, revokeMs: 60_000 }],
  ],
  ["GET", "/api/users/bob/revocation", undefined, ["revocation", "bob"]],
  ["DELETE", "/api/users/bob/revocation", undefined, ["liftRevocation", "bob"]],
  ["POST", "/api/users/bob/subscribe", { channel: "a" }, ["subscribeUser", "bob", "a"]],
  ["POST", "/api/users/bob/unsubscribe", { channel: "a" }, ["unsubscribeUser", "bob", "a"]],
  ["GET", "/api/sessions?after=s", undefined, ["sessions", { after: "s", limit: 100 }]],
  ["GET", "/api/sessions/s1", undefined, ["session", "s1"]],
  ["POST", "/api/sessions/s1/send", { data: [1, "ü"], name: "hi" }, ["send", "s1", { data: '[1,"ü"]', name: "hi" }]],
  ["POST", "/api/sessions/s1/disconnect", {}, ["disconnectSession", "s1", { reconnect: false }]],
  ["POST", "/api/sessions/s1/subscribe", { channel: "a" }, ["subscribeSession", "s1", "a"]],
  ["POST", "/api/sessions/s1/unsubscribe", { channel: "a" }, ["unsubscribeSession", "s1", "a"]],
  ["POST", "/api/sessions/s1/user", { user: "eve" }, ["bindUser", "s1", "eve"]],
  ["POST", "/api/sessions/s1/user", { user: null }, ["bindUser", "s1", null]],
  ["GET", "/api/sessions/s1/data", undefined, ["sessionData", "s1"]],
  ["PUT", "/api/sessions/s1/data", { a: { b: 1 } }, ["putSessionData", "s1", { a: { b: 1 } }]],
  ["PATCH", "/api/sessions/s1/data", { a: null }, ["patchSessionData", "s1", { a: null }]],
  ["POST", "/api/state/hits", { set: { a: 1 }, ttlSeconds: 1.5 }, ["setState", "hits", { a: 1 }, 1500]],
  ["POST", "/api/state/hits", { set: null }, ["setState", "hits", null, undefined]],
  ["POST", "/api/state/hits", { add: -2 }, ["addState", "hits", -2, undefined]],
  ["POST", "/api/state/hits", { set: [], session: "s1" }, ["setSessionState", "s1", "hits", []]],
  ["POST", "/api/state/hits", { add: 1, session: "s1" }, ["addSessionState", "s1", "hits", 1]],
  ["GET", "/api/state/known", undefined, ["state", "known"]],
  ["DELETE", "/api/state/known", undefined, ["removeState", "known"]],
  ["GET", "/api/stats", undefined, ["stats"]],
  ["GET", "/healthz", undefined, undefined],
  ["GET", "/readyz", undefined, undefined],
  ["GET", "/api/openapi.json", undefined, undefined],
];

const operations = allOperations({
  control: startApi().control,
  keys: [],
  log: { debug() {}, info() {}, warn() {}, error() {} },
  health: () => ({ ready: true }),
  limits: { bodyBytesMax: 1, publicationBytesMax: 1, depthMax: 1, historyPageMax: 100 },
  version: "1",
});

function operationOf(method: string, path: string): Operation {
  const [bare = ""] = path.split("?");
  const found = operations.find((operation) => {
    const pattern = new RegExp(`^${operation.path.replaceAll(/\{\w+\}/g, "[^/]+")}$`);
    return operation.method === method && pattern.test(bare);
  });
  if (found === undefined) throw new Error(`no operation for ${method} ${path}`);
  return found;
}

describe("good requests", () => {
  test("there is one for every operation", () => {
    const asked = new Set(GOOD.map(([method, path]) => operationOf(method, path).id));
    expect(operations.map(({ id }) => id).filter((id) => !asked.has(id))).toEqual([]);
  });

  test.each(GOOD)("%s %s", async (method, path, body, called) => {
    await api.control.setState("known", 1, undefined);
    api.control.calls.length = 0;
    const answer = await api.call(method, path, body);
    const { answer: schema } = operationOf(method, path);
    expect(answer.status).toBe(schema === undefined ? 204 : 200);
    if (schema === undefined) expect(answer.body).toBe("");
    else expect(schema.safeParse(answer.body).error).toBeUndefined();
    expect(api.control.calls).toEqual((called === undefined ? [] : [called]) as typeof api.control.calls);
  });
});

const concrete = ({ path }: Operation): string => path.replaceAll(/\{\w+\}/g, "x");

const askWith = async (authorization: string): Promise<number> =>
  (await api.http(new Request("http://localhost/api/stats", { headers: { authorization } }))).status;

test("[NB-8] a key lives as long as its session, or for so many seconds, not both", async () => {
  const { status, body } = await api.call("POST", "/api/state/hits", { add: 1, session: "s1", ttlSeconds: 5 });
  expect([status, body.error.code, body.error.path]).toEqual([400, 102, "session"]);
});

describe("[AP-1] keys and scopes", () => {
  const guarded = operations.filter(({ scope }) => scope !== undefined);

  test.each(guarded.map((operation) => [operation.id, operation] as const))("%s", async (_, operation) => {
    const ask = (key: string | null): ReturnType<Api["call"]> =>
      api.call(operation.method, concrete(operation), undefined, { key });
    for (const key of [null, "", "wrong", "key-of-al", "key-of-all2"]) {
      const { status, body, headers } = await ask(key);
      expect([status, body.error.code]).toEqual([401, 117]);
      expect(headers.get("www-authenticate")).toStartWith("Bearer");
    }
    for (const { name, key, scopes } of KEYS.slice(1, 4)) {
      const { status, body } = await ask(key);
      if (scopes.some((scope) => scope === operation.scope)) expect(status).not.toBe(403);
      else {
        expect([name, status, body.error.code]).toEqual([name, 403, 109]);
        expect(body.error.message).toContain(`\`${operation.scope}\``);
      }
    }
  });

  test("only health needs none", () => {
    expect(operations.filter(({ scope }) => scope === undefined).map(({ path }) => path)).toEqual([
      "/healthz",
      "/readyz",
    ]);
  });

  test("another scheme than Bearer is refused, its case does not matter", async () => {
    expect(await askWith("bearer  key-of-all ")).toBe(200);
    expect(await askWith("Basic key-of-all")).toBe(401);
    expect(await askWith("key-of-all")).toBe(401);
    expect(await askWith("Bearer key-of-all, Bearer wrong")).toBe(401);
  });

  test("without any key nobody gets in", async () => {
    expect((await startApi({ keys: [] }).call("GET", "/api/stats")).status).toBe(401);
  });
});

describe("[AP-1] keys limited to namespaces", () => {
  const allowed: readonly (readonly [string, string, string, unknown?])[] = [
    ["shop", "GET", "/api/channels/shop:1"],
    ["shop", "GET", "/api/channels/plain/history"],
    ["shop", "DELETE", "/api/channels/shop:1/history"],
    ["shop", "POST", "/api/publish", { channel: "shop:1", data: 1 }],
    ["people", "POST", "/api/publish", { users: ["bob"], data: 1 }],
    ["people", "GET", "/api/users/bob"],
    ["people", "POST", "/api/users/bob/disconnect"],
    ["people", "POST", "/api/users/bob/subscribe", { channel: "@bob" }],
    ["shop", "GET", "/api/openapi.json"],
  ];
  test.each(allowed)("%s may %s %s", async (name, method, path, body) => {
    expect((await api.call(method, path, body, { key: `key-of-${name}` })).status).toBeLessThan(300);
  });

  const refused: readonly (readonly [string, string, string, unknown?])[] = [
    ["shop", "GET", "/api/channels/bank:1"],
    ["shop", "GET", "/api/channels/@bob/history"],
    ["shop", "DELETE", "/api/channels/bank:1/history"],
    ["shop", "POST", "/api/publish", { channel: "bank:1", data: 1 }],
    ["shop", "POST", "/api/publish", { user: "bob", data: 1 }],
    ["shop", "GET", "/api/users/bob"],
    ["people", "POST", "/api/users/bob/subscribe", { channel: "shop:1" }],
    ["people", "POST", "/api/users/bob/unsubscribe", { channel: "shop:1" }],
    ["people", "GET", "/api/users"],
    ["shop", "GET", "/api/sessions"],
    ["shop", "GET", "/api/sessions/s1"],
    ["shop", "POST", "/api/sessions/s1/subscribe", { channel: "shop:1" }],
    ["shop", "PUT", "/api/sessions/s1/data", {}],
    ["shop", "POST", "/api/state/a", { add: 1 }],
    ["shop", "GET", "/api/stats"],
  ];
  test.each(refused)("%s may not %s %s", async (name, method, path, body) => {
    const answer = await api.call(method, path, body, { key: `key-of-${name}` });
    expect([answer.status, answer.body.error.code]).toEqual([403, 109]);
    expect(answer.body.error.message).toContain("limited to namespaces");
    expect(api.control.calls).toEqual([]);
  });

  test("several targets: each by itself", async () => {
    const { status, body } = await api.call(
      "POST",
      "/api/publish",
      { channels: ["shop:1", "bank:1", "x"], data: 1 },
      { key: "key-of-shop" },
    );
    expect(status).toBe(200);
    expect(body.results.map((result: { error?: { code: number } }) => result.error?.code)).toEqual([
      undefined,
      109,
      undefined,
    ]);
  });

  test("a list shows their channels only, page by page", async () => {
    for (let n = 10; n < 20; n++) {
      for (const namespace of ["bank:", "shop:", "zoo:", ""])
        await api.control.publish({ channel: `${namespace}${n}`, data: "1" });
    }
    const seen: string[] = [];
    for (;;) {
      const after = seen.at(-1);
      const path = `/api/channels?limit=3${after === undefined ? "" : `&after=${after}`}`;
      const { body } = await api.call("GET", path, undefined, { key: "key-of-shop" });
      seen.push(...body.channels.map(({ channel }: { channel: string }) => channel));
      if (body.more !== true) break;
      expect(body.channels).toHaveLength(3);
    }
    expect(seen).toEqual([
      ...Array.from({ length: 10 }, (_, n) => `${10 + n}`),
      ...Array.from({ length: 10 }, (_, n) => `shop:${10 + n}`),
    ]);
  });
});

const allow = async (method: string, path: string): Promise<string | null> => {
  const { status, body, headers } = await api.call(method, path);
  expect([status, body.error?.code]).toEqual([405, 115]);
  return headers.get("allow");
};

describe("paths and methods", () => {
  test("[AP-5] an unknown path is 404", async () => {
    for (const path of [
      "/",
      "/api",
      "/api/",
      "/api/nothing",
      "/api/channels/",
      "/api/channels/a/b",
      "/api/publish/",
      "//api/publish",
      "/api/channels//history",
      "/longwire.js",
      "/demo",
    ]) {
      const { status, body } = await api.call("GET", path);
      expect([path, status, body.error.code]).toEqual([path, 404, 110]);
    }
  });

  test("[AP-5] another method is 405 with Allow", async () => {
    expect(await allow("GET", "/api/publish")).toBe("POST");
    expect(await allow("POST", "/api/channels/a/history")).toBe("DELETE, GET, HEAD");
    expect(await allow("DELETE", "/api/sessions/s1/data")).toBe("GET, HEAD, PATCH, PUT");
    expect(await allow("OPTIONS", "/api/publish")).toBe("POST");
    expect(await allow("POST", "/healthz")).toBe("GET, HEAD");
  });

  test("[AP-11] names in paths are percent-encoded", async () => {
    await api.call("GET", `/api/channels/${encodeURIComponent("房间:/?#%+ü")}/presence`);
    await api.call("GET", "/api/users/a+b%20c");
    expect(api.control.calls).toEqual([
      ["presence", "房间:/?#%+ü"],
      ["user", "a+b c"],
    ]);
    for (const bad of ["%zz", "a%", "%ff", "%C0%80"]) {
      const { status, body } = await api.call("GET", `/api/channels/${bad}`);
      expect([status, body.error.code, body.error.path]).toEqual([400, 102, "channel"]);
    }
  });

  test("a channel may be named like a part of the paths", async () => {
    await api.call("GET", "/api/channels/history/history");
    await api.call("GET", "/api/channels/__proto__");
    expect(api.control.calls.map(([, channel]) => channel)).toEqual(["history", "__proto__"]);
  });

  test("[AP-3] queries are checked as bodies are", async () => {
    const bad = async (query: string): Promise<unknown> =>
      (await api.call("GET", `/api/channels/a/history?${query}`)).body.error?.path;
    expect(await bad("limit=0")).toBe("limit");
    expect(await bad("limit=101")).toBe("limit");
    expect(await bad("limit=1.5")).toBe("limit");
    expect(await bad("limit=")).toBe("limit");
    expect(await bad("limit=1&limit=2")).toBe("limit");
    expect(await bad("reverse=yes")).toBe("reverse");
    expect(await bad("since=abc")).toBe("since");
    expect(await bad("since=abc.-1")).toBe("since");
    expect(await bad("since=.1")).toBe("since");
    expect(await bad("sinse=earliest")).toBe("sinse");
    expect(await bad("__proto__=1")).toBe("__proto__");
    expect((await api.call("GET", "/api/stats?verbose=1")).body.error.path).toBe("verbose");
    expect((await api.call("GET", "/api/channels?prefix=%zz")).status).toBe(400);
    expect((await api.call("GET", "/healthz?from=balancer")).status).toBe(200);
  });

  test("there are no CORS headers on the API", async () => {
    const { headers } = await api.call("GET", "/api/stats");
    expect([...headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  });
});

describe("failures", () => {
  test("[AP-4] what Control refuses has its own status, code and wait", async () => {
    api.control.fail("session", new ReplyError("notFound", "no such session"));
    const { status, body } = await api.call("GET", "/api/sessions/s9");
    expect([status, body]).toEqual([404, { error: { code: 110, message: "there is no such thing: no such session" } }]);
    api.control.fail("clearHistory", new ReplyError("unavailable", "the disk is full", 1500));
    const busy = await api.call("DELETE", "/api/channels/a/history");
    expect([busy.status, busy.body.error.code, busy.headers.get("retry-after")]).toEqual([503, 201, "2"]);
  });

  test("a bug is 500, logged with its stack and told without words", async () => {
    api.control.fail("stats", new TypeError("secret detail"));
    const { status, body } = await api.call("GET", "/api/stats");
    expect([status, body]).toEqual([500, { error: { code: 200, message: "something went wrong on the server" } }]);
    expect(api.errors).toHaveLength(1);
    expect(api.errors[0]).toMatchObject({ method: "GET", error: { message: "secret detail" } });
    expect(JSON.stringify(api.errors[0])).not.toContain("key-of-all");
  });

  test("[ST-8] what is logged of a request has no query: a secret may stand there by mistake", async () => {
    api.control.fail("channels", new TypeError("a bug"));
    await api.call("GET", "/api/channels?prefix=token-by-mistake");
    expect(api.errors).toMatchObject([{ method: "GET", path: "/api/channels" }]);
    expect(JSON.stringify(api.errors)).not.toContain("token-by-mistake");
  });

  test("[AP-18] readiness says why not", async () => {
    const unready = startApi({ health: () => ({ ready: false, reason: "the disk is full" }) });
    const { status, body } = await unready.call("GET", "/readyz", undefined, { key: null });
    expect([status, body]).toEqual([503, { ready: false, reason: "the disk is full" }]);
    expect((await unready.call("GET", "/healthz", undefined, { key: null })).status).toBe(200);
  });
});
