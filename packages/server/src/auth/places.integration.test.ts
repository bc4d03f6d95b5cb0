/** Tokens at every place of a request, on every transport. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connectBare } from "../../test/support/bare-client.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectTcp } from "../../test/support/tcp-client.ts";
import { connectClient } from "../../test/support/ws-client.ts";

const COOKIE = "session_token";
const LISTED = "https://app.example";

let server: TestServer;
let token: string;
let other: string;

beforeAll(async () => {
  server = await startServer({ "token-cookie": COOKIE, origins: `${LISTED},*`, "channels-subscribe": "signed-in" });
  token = await server.token({ sub: "bob", channels: ["given"], allow: { subscribe: ["*"], publish: ["*"] } });
  other = await server.token({ sub: "alice", allow: { subscribe: ["*"], publish: ["*"] } });
});
afterAll(() => server.stop());

type Headers = Readonly<Record<string, string>>;

interface Way {
  readonly name: string;
  /** The user of the session that such a request gets, `nobody`, or the code it is refused with. */
  readonly who: (headers: Headers, query?: string) => Promise<string | number>;
}

interface Said {
  readonly type?: string;
  readonly user?: string;
  readonly session?: string;
  readonly code?: number;
}

function whoIn(frames: readonly Said[]): string | number {
  const connected = frames.find(({ type }) => type === "connected");
  if (connected !== undefined) return connected.user ?? "nobody";
  return frames.find(({ code }) => code !== undefined)?.code ?? "nothing";
}

/** The first frames of a stream, then it is given up. */
async function firstOf(path: string, headers: Headers, strip: RegExp): Promise<string | number> {
  const aborting = new AbortController();
  const response = await fetch(`${server.url}${path}`, { headers, signal: aborting.signal });
  if (response.status !== 200) return ((await response.json()) as { error: { code: number } }).error.code;
  let text = "";
  const decoder = new TextDecoder();
  try {
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      if (text.includes('"connected"') || text.includes('"code"')) break;
    }
  } finally {
    aborting.abort();
  }
  const lines = text.split("\n").map((line) => line.replace(strip, ""));
  return whoIn(lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Said));
}

const WAYS: readonly Way[] = [
  {
    name: "ws, `connect`",
    async who(headers, query = "") {
      const client = await connectClient(`${server.url}/ws?${query}`, { headers, connect: false });
      const answer = query === "" ? await client.ask({ type: "connect" }) : await client.next(() => true);
      client.terminate();
      return whoIn([answer]);
    },
  },
  {
    name: "ws, a first command",
    async who(headers, query = "") {
      const client = await connectClient(`${server.url}/ws?${query}`, { headers, connect: false });
      client.send({ type: "ping" });
      const answer = await client.next(({ type }) => type === "connected" || type === "disconnect");
      client.terminate();
      return whoIn([answer]);
    },
  },
  {
    name: "ws, channels in the query",
    async who(headers, query = "") {
      const client = await connectClient(`${server.url}/ws?channels=news&${query}`, { headers, connect: false });
      const answer = await client.next(() => true);
      client.terminate();
      return whoIn([answer]);
    },
  },
  {
    name: "raw",
    async who(headers, query = "") {
      const client = await connectBare(`${server.url}/raw/bare?${query}`, headers);
      // Bare clients are told nothing: what they publish says who they are.
      const closed = client.closed.then(({ code }) => code);
      client.send("who am I");
      const heard = client.received(1).then(async () => {
        const { body } = await server.api("GET", "/api/channels/bare/history?reverse=true&limit=1");
        return (body as { publications: Said[] }).publications[0]?.user ?? "nobody";
      });
      const who = await Promise.race([closed, heard]);
      heard.catch(() => undefined);
      return who;
    },
  },
  { name: "sse", who: (headers, query = "") => firstOf(`/sse?channels=news&${query}`, headers, /^data: ?/) },
  { name: "sse by path", who: (headers, query = "") => firstOf(`/sse/news?${query}`, headers, /^data: ?/) },
  { name: "stream", who: (headers, query = "") => firstOf(`/stream?channels=news&${query}`, headers, /^/) },
  {
    name: "poll",
    async who(headers, query = "") {
      const response = await fetch(`${server.url}/poll?channels=news&wait=0&${query}`, { headers });
      const { frames, error } = (await response.json()) as { frames?: Said[]; error?: { code: number } };
      return error?.code ?? whoIn(frames ?? []);
    },
  },
  {
    name: "poll by frames",
    async who(headers, query = "") {
      const body = '{"type":"connect"}\n{"type":"subscribe","channel":"news"}';
      const response = await fetch(`${server.url}/poll?wait=0&${query}`, { method: "POST", headers, body });
      // With a token in the query the frame comes too late.
      const { frames, error } = (await response.json()) as { frames?: Said[]; error?: { code: number } };
      return error?.code ?? whoIn(frames ?? []);
    },
  },
  {
    name: "send",
    async who(headers, query = "") {
      const body = JSON.stringify({ type: "publish", channel: "sent", data: 1, id: 1 });
      const response = await fetch(`${server.url}/send?${query}`, { method: "POST", headers, body });
      const text = await response.text();
      const { error } = JSON.parse(text) as { error?: { code: number } };
      if (error !== undefined) return error.code;
      // A refusal of the command says that somebody without rights spoke.
      if (text.includes('"error"')) return "nobody";
      const history = await server.api("GET", "/api/channels/sent/history?reverse=true&limit=1");
      return (history.body as { publications: Said[] }).publications[0]?.user ?? "nobody";
    },
  },
];

const own = (): string => server.url;
const cookie = (value: string, more: Headers = {}): Headers => ({ cookie: `a=b; ${COOKIE}=${value}; c="d"`, ...more });

describe.each(WAYS)("$name", ({ name, who }) => {
  const nobody = name === "raw" ? 4302 : "nobody";

  test("[CO-19] a token in the query, in the header, in a cookie", async () => {
    expect(await who({}, `token=${token}`)).toBe("bob");
    expect(await who({ authorization: `Bearer ${token}` })).toBe("bob");
    expect(await who({ authorization: `bearer  ${token} ` })).toBe("bob");
    expect(await who(cookie(token, { origin: LISTED }))).toBe("bob");
    expect(await who(cookie(`"${token}"`, { origin: own() }))).toBe("bob");
    expect(await who({})).toBe(nobody);
  });

  test("[CO-19] of several the first counts: query, header, cookie; a bad one is not saved by the next", async () => {
    const bearer = { authorization: `Bearer ${token}` };
    const origin = { origin: LISTED };
    expect(await who(bearer, `token=${other}`)).toBe("alice");
    expect(await who(cookie(other, { ...bearer, ...origin }))).toBe("bob");
    expect(await who(cookie(token, origin), `token=${other}`)).toBe("alice");
    expect([300, 4300] as unknown[]).toContain(await who(bearer, "token=bad"));
    expect([300, 4300] as unknown[]).toContain(await who(cookie(token, { authorization: "Bearer bad", ...origin })));
  });

  test("[CO-20] a cookie counts for pages that are listed or the server's own, and for nobody else", async () => {
    expect(await who(cookie(token, { "sec-fetch-site": "same-origin" }))).toBe("bob");
    for (const headers of [
      {},
      { "sec-fetch-site": "same-site" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "none" },
      { origin: "https://evil.example" },
      // `*` lets it connect, and no further.
      { origin: "https://evil.example", "sec-fetch-site": "same-origin" },
      { origin: "https://app.example.evil.example" },
      { origin: "http://localhost:1" },
      { origin: "null", "sec-fetch-site": "same-origin" },
    ] as Headers[]) {
      expect([headers, await who(cookie(token, headers))]).toEqual([headers, nobody]);
    }
    expect(await who({ cookie: `${COOKIE}x=${token}; x${COOKIE}=${token}`, origin: LISTED })).toBe(nobody);
    expect(await who({ cookie: `${COOKIE}=`, origin: LISTED })).toBe(nobody);
  });

  test("[CO-19] another scheme of `Authorization` is somebody else's business", async () => {
    for (const authorization of ["Basic Ym9iOnNlY3JldA==", "Bearer", "Bearer ", `Digest ${token}`]) {
      expect([authorization, await who({ authorization })]).toEqual([authorization, nobody]);
    }
  });
});

test("[CO-19] a header alone is enough to ask for what the token brings", async () => {
  const response = await fetch(`${server.url}/poll?wait=0`, { headers: { authorization: `Bearer ${token}` } });
  const { frames } = (await response.json()) as { frames: { type: string; channel?: string }[] };
  expect(frames.map(({ type, channel }) => channel ?? type)).toEqual(["connected", "given", "@bob"]);
  const bare = await fetch(`${server.url}/poll?wait=0`);
  expect(bare.status).toBe(400);
});

test("[WS-9] a header alone connects nobody on a WebSocket before the first frame", async () => {
  const client = await connectClient(server.url, { headers: { authorization: `Bearer ${token}` }, connect: false });
  expect(await client.ask({ type: "connect", token: other })).toMatchObject({ type: "connected", user: "alice" });
  expect(client.frames[0]).toMatchObject({ type: "connected", user: "alice" });
  client.terminate();
});

test("[CO-20] pages that may use the cookie are told that they may, and others are not", async () => {
  const allowed = async (origin: string): Promise<string | null> => {
    const response = await fetch(`${server.url}/poll?wait=0&channels=a`, { headers: { origin } });
    expect(response.headers.get("access-control-allow-origin")).toBe(origin);
    return response.headers.get("access-control-allow-credentials");
  };
  expect(await allowed(LISTED)).toBe("true");
  expect(await allowed("https://evil.example")).toBeNull();
  const preflight = { method: "OPTIONS", headers: { origin: LISTED, "access-control-request-method": "POST" } };
  const answer = await fetch(`${server.url}/send`, preflight);
  expect(answer.headers.get("access-control-allow-credentials")).toBe("true");
});

function upgrade(protocols: string): Promise<Response> {
  return fetch(`${server.url}/ws`, {
    headers: {
      upgrade: "websocket",
      connection: "Upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      "sec-websocket-protocol": protocols,
    },
  });
}

describe("[CO-21] a token in the subprotocol", () => {
  const Socket = WebSocket as unknown as new (url: string, options: { protocols?: string[] }) => WebSocket;

  async function openWith(path: string, protocols: string[]): Promise<{ first: Said | undefined; protocol: string }> {
    const socket = new Socket(`${server.url.replace("http", "ws")}${path}`, { protocols });
    const { promise, resolve, reject } = Promise.withResolvers<Said | undefined>();
    socket.addEventListener("message", ({ data }) => resolve(JSON.parse(data as string) as Said));
    socket.addEventListener("close", ({ code }) => reject(new Error(String(code))));
    const first = await promise;
    const { protocol } = socket;
    socket.close();
    return { first, protocol };
  }

  test("as it is and in base64url, at any place in the list, connects at once; the answer names `longwire`", async () => {
    const coded = Buffer.from(token).toString("base64url");
    for (const protocols of [
      ["longwire", `token.${token}`],
      [`token.${token}`, "longwire"],
      ["longwire", `token.${coded}`],
      ["chat", "longwire", `token.${token}`],
    ]) {
      const { first, protocol } = await openWith("/ws", protocols);
      expect(first).toMatchObject({ type: "connected", user: "bob" });
      expect(protocol).toBe("longwire");
    }
  });

  test("goes after the query and before header and cookie", async () => {
    const { first } = await openWith(`/ws?token=${other}`, ["longwire", `token.${token}`]);
    expect(first).toMatchObject({ user: "alice" });
    const bad = await openWith("/ws", ["longwire", "token.bad.bad.bad"]);
    expect(bad.first).toMatchObject({ type: "disconnect", code: 4300 });
  });

  test("without `longwire` beside it is refused; a subprotocol of somebody else's is named as ever", async () => {
    const refused = await upgrade(`token.${token}`);
    expect(refused.status).toBe(400);
    expect(await refused.text()).not.toContain(token);
  });

  test("on /raw", async () => {
    const socket = new Socket(`${server.url.replace("http", "ws")}/raw/bare`, {
      protocols: ["longwire", `token.${token}`],
    });
    const heard = new Promise((resolve) => socket.addEventListener("message", ({ data }) => resolve(data)));
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    socket.send("by subprotocol");
    expect(await heard).toBe("by subprotocol");
    socket.close();
  });
});

describe("[CO-22] connections that never say who they are", () => {
  test("end in time with 4302 over WebSocket and raw TCP, requests at once", async () => {
    const strict = await startServer({ anonymous: "false", "connect-timeout-ms": "600" });
    const silent = await connectClient(strict.url, { connect: false });
    const tcp = await connectTcp(strict.tcpPorts[0], { connect: false });
    const refused = await connectClient(strict.url, { connect: false });
    expect(await refused.ask({ type: "connect" })).toMatchObject({ code: 302 });
    const bob = await connectClient(strict.url, { token });
    expect((await silent.closed).code).toBe(4302);
    expect((await refused.closed).code).toBe(4302);
    expect(await tcp.readAll()).toMatchObject([{ type: "disconnect", code: 4302, reconnect: true }]);
    for (const path of ["/poll?channels=a", "/sse/a", "/stream?channels=a"]) {
      const response = await fetch(`${strict.url}${path}`);
      expect([path, response.status]).toEqual([path, 401]);
      expect(await response.json()).toMatchObject({ error: { code: 4302 } });
    }
    const sent = await fetch(`${strict.url}/send`, { method: "POST", body: '{"type":"ping","id":1}' });
    expect(sent.status).toBe(401);
    expect(bob.isOpen).toBe(true);
    bob.terminate();
    await strict.stop();
  });

  test("by default: with tokens, and nothing open to everybody, as well; with something open, they may stay", async () => {
    const rules = { "channels-subscribe": "", "channels-presence": "", "channels-history": "" };
    const closed = await startServer({ ...rules, "connect-timeout-ms": "500" });
    const open = await startServer({ "connect-timeout-ms": "500" });
    const silent = await connectClient(closed.url, { connect: false });
    const nobody = await connectClient(closed.url);
    const welcome = await connectClient(open.url, { connect: false });
    expect((await silent.closed).code).toBe(4302);
    expect((await nobody.closed).code).toBe(4302);
    await Bun.sleep(500);
    expect(welcome.isOpen).toBe(true);
    welcome.terminate();
    await Promise.all([closed.stop(), open.stop()]);
  });
});

test("[CO-24] [AP-21] a revocation over the HTTP API outlives a restart", async () => {
  const kept = await startServer({ engine: "sqlite" });
  const now = Math.floor(Date.now() / 1000);
  const old = await kept.token({ sub: "bob", iat: now - 100 });
  const session = await connectClient(kept.url, { token: old });
  const path = "/api/users/bob/disconnect";
  expect((await kept.api("POST", path, { revokeSeconds: 0 })).status).toBe(400);
  expect(await kept.api("POST", path, { revokeSeconds: 3600 })).toMatchObject({ status: 200, body: { sessions: 1 } });
  expect((await session.closed).code).toBe(4102);
  await kept.restart();
  const { status, body } = await kept.api("GET", "/api/users/bob/revocation");
  expect({ status, user: (body as { user: string }).user }).toEqual({ status: 200, user: "bob" });
  const back = await connectClient(kept.url, { connect: false });
  expect(await back.ask({ type: "connect", token: old })).toMatchObject({ code: 300 });
  expect(await back.ask({ type: "connect", token: await kept.token({ sub: "bob", iat: now + 10 }) })).toMatchObject({
    type: "connected",
  });
  expect((await kept.api("DELETE", "/api/users/bob/revocation")).status).toBe(204);
  expect((await kept.api("DELETE", "/api/users/bob/revocation")).status).toBe(404);
  const free = await connectClient(kept.url, { token: old });
  expect(free.user).toBe("bob");
  for (const client of [back, free]) client.terminate();
  await kept.stop();
});
