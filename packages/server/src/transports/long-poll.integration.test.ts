/** Long polls over real sockets: what they are answered with and when, what is refused, and that nothing of them stays. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { encodeCursor, type ServerFrame } from "@longwire/protocol";
import { poll, Poller } from "../../test/support/poll-client.ts";
import { openSocket, type RawSocket } from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient } from "../../test/support/ws-client.ts";

const NAMESPACES = JSON.stringify({
  secret: { subscribe: "signed-in" },
  keyed: { subscribe: "token" },
  short: { historySize: 5 },
  open: { publish: "everybody" },
});

let server: TestServer;
const opened: RawSocket[] = [];
const pollers: Poller[] = [];

beforeAll(async () => {
  server = await startServer({ namespaces: NAMESPACES, "poll-wait-seconds-max": "30", "subscriptions-max": "1000" });
});
afterEach(async () => {
  for (const socket of opened.splice(0)) socket.destroy();
  await Promise.all(pollers.splice(0).map((poller) => poller.stop()));
});
afterAll(() => server.stop());

let channels = 0;
function newChannel(namespace?: string): string {
  return `${namespace === undefined ? "" : `${namespace}:`}poll-${++channels}`;
}

async function rawPoll(query: string, headers: readonly string[] = []): Promise<RawSocket> {
  const { port } = new URL(server.url);
  const socket = await openSocket(Number(port));
  opened.push(socket);
  socket.send(getPoll(query, headers));
  return socket;
}

function getPoll(query: string, headers: readonly string[] = []): string {
  return [`GET /poll?${query} HTTP/1.1`, "Host: localhost", ...headers, "", ""].join("\r\n");
}

async function stats(): Promise<{ sessions: number; subscriptions: number; channels: number }> {
  const { body } = await server.api("GET", "/api/stats");
  return body as { sessions: number; subscriptions: number; channels: number };
}

/** Waits until so many sessions are there: those that wait, and those that have gone. */
async function untilSessions(count: number): Promise<void> {
  const deadline = performance.now() + 4000;
  for (;;) {
    const { sessions } = await stats();
    if (sessions === count) return;
    if (performance.now() > deadline) throw new Error(`${sessions} sessions in place of ${count}`);
    await Bun.sleep(5);
  }
}

function sessionOf([greeting]: readonly ServerFrame[]): string {
  return greeting?.type === "connected" ? greeting.session : "";
}

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

function cursorOf(body: string): string {
  return (JSON.parse(body) as { cursor: string }).cursor;
}

describe("what is answered", () => {
  test("[LP-1] [LP-2] the first poll greets and gives a cursor, the next waits for what comes, and no more than that", async () => {
    const channel = newChannel();
    const first = await poll(server.url, `channels=${channel}`);
    expect(first.frames.map(({ type }) => type)).toEqual(["connected", "subscribed"]);
    const next = poll(server.url, `channels=${channel}&since=${first.cursor}`);
    await untilSessions(1);
    await server.publish(channel, { text: "hi" }, { name: "n" });
    const { status, frames, cursor } = await next;
    expect(status).toBe(200);
    expect(frames).toEqual([{ type: "message", channel, offset: 1, data: { text: "hi" }, name: "n" }]);
    const none = await poll(server.url, `channels=${channel}&since=${cursor}&wait=0`);
    expect(none.frames).toEqual([]);
    expect(none.cursor).toBe(cursor);
  });

  test("[LP-2] what is missed already is answered at once, everything that one turn brings together", async () => {
    const [a, b] = [newChannel(), newChannel()];
    const { cursor } = await poll(server.url, `channels=${a},${b}`);
    await server.publish(a, 1);
    await server.publish(b, 2);
    const missed = await poll(server.url, `channels=${a},${b}&since=${cursor}`);
    expect(missed.frames).toMatchObject([
      { type: "message", channel: a, offset: 1 },
      { type: "message", channel: b, offset: 1 },
    ]);
    const waiting = poll(server.url, `channels=${a},${b}&since=${missed.cursor}`);
    await untilSessions(1);
    const publications = Array.from({ length: 20 }, (_, n) => ({ channel: n % 2 === 0 ? a : b, data: n }));
    await server.api("POST", "/api/batch", { publications });
    expect((await waiting).frames.map((frame) => (frame as { data?: unknown }).data)).toEqual(
      publications.map(({ data }) => data),
    );
  });

  test("[LP-3] an empty answer comes when the wait is over, and a wait of nothing asks only", async () => {
    const channel = newChannel();
    const begin = performance.now();
    const { frames, cursor } = await poll(server.url, `channels=${channel}&quiet=true&wait=0.4`);
    expect(frames).toEqual([]);
    expect(cursor).not.toBe("");
    expect(performance.now() - begin).toBeGreaterThanOrEqual(400);
  });

  test.each(["-1", "31", "1e1", "soon", "0x1", "1.", "NaN", "Infinity", "99999999999"])(
    "[LP-3] wait=%s is refused",
    async (wait) => {
      const { status, error } = await poll(server.url, `channels=a&wait=${wait}`);
      expect([status, error?.code]).toEqual([400, 4104]);
      expect(error?.message).toContain("from 0 to 30");
    },
  );

  test("[OW-1] `connect` and `subscribe` as frames: in the body of a POST, or in the query", async () => {
    const channel = newChannel();
    const frames = [
      { type: "connect", id: 1, client: "phone" },
      { type: "subscribe", channel, id: 2 },
    ].map((frame) => JSON.stringify(frame));
    const posted = await poll(server.url, "", { body: frames.join("\r\n\n") });
    expect(posted.frames).toMatchObject([
      { type: "connected", id: 1 },
      { type: "subscribed", id: 2, channel },
    ]);
    const asked = await poll(server.url, `commands=${encodeURIComponent(frames.join("\n"))}`);
    expect(asked.frames).toMatchObject([
      { type: "connected", id: 1 },
      { type: "subscribed", id: 2, channel },
    ]);
    await server.publish(channel, "missed");
    // Whoever subscribes by frames has the cursor all the same, and nothing else.
    const next = await poll(server.url, `since=${posted.cursor}`, {
      body: JSON.stringify({ type: "subscribe", channel }),
    });
    expect(next.frames).toEqual([{ type: "message", channel, offset: 1, data: "missed" }]);
  });

  test("[SU-8] [OW-7] a token for one channel opens it; what is refused is told with the channel's name", async () => {
    const channel = newChannel("keyed");
    const other = newChannel("keyed");
    const token = await server.token({ channel });
    const body = [
      { type: "subscribe", channel, token },
      { type: "subscribe", channel: other },
    ]
      .map((frame) => JSON.stringify(frame))
      .join("\n");
    const { frames } = await poll(server.url, "", { body });
    expect(frames).toMatchObject([
      { type: "connected" },
      { type: "subscribed", channel },
      { type: "unsubscribed", channel: other, code: 302 },
    ]);
  });

  test("[OW-4] [CO-11] a poll that a backend gives a channel has it from then on, and so have the next ones", async () => {
    const [mine, given] = [newChannel(), newChannel()];
    const { frames, cursor } = await poll(server.url, `channels=${mine}`);
    const session = sessionOf(frames);
    const waiting = poll(server.url, `channels=${mine}&session=${session}&since=${cursor}`);
    await untilSessions(1);
    await server.api("POST", `/api/sessions/${session}/subscribe`, { channel: given });
    await server.publish(given, 1);
    const told = await waiting;
    expect(told.frames).toMatchObject([{ type: "message", channel: given, data: 1 }]);
    await server.publish(given, 2);
    const next = await poll(server.url, `channels=${mine}&session=${session}&since=${told.cursor}`);
    expect(next.frames).toMatchObject([{ type: "message", channel: given, data: 2 }]);
  });

  test("[SU-7] a poll whose channel is taken from it is told", async () => {
    const [kept, taken] = [newChannel(), newChannel()];
    const token = await server.token({ sub: "taken" });
    const { cursor } = await poll(server.url, `channels=${kept},${taken}&token=${token}`);
    const waiting = poll(server.url, `channels=${kept},${taken}&token=${token}&since=${cursor}`);
    await untilSessions(1);
    await server.api("POST", "/api/users/taken/unsubscribe", { channel: taken });
    expect((await waiting).frames).toMatchObject([{ type: "unsubscribed", channel: taken, code: 118 }]);
  });

  test("echo: a poll that wants none of its own does not get what its session says by WebSocket or POST", async () => {
    const channel = newChannel("open");
    const { frames } = await poll(server.url, `channels=${newChannel()}`);
    const session = sessionOf(frames);
    const body = JSON.stringify({ type: "subscribe", channel, echo: false });
    const waiting = poll(server.url, `session=${session}&quiet=true`, { body });
    await untilSessions(1);
    const line = (data: string): string => JSON.stringify({ type: "publish", channel, data });
    await fetch(`${server.url}/send?session=${session}`, { method: "POST", body: line("own") });
    await fetch(`${server.url}/send`, { method: "POST", body: line("another's") });
    expect((await waiting).frames).toMatchObject([{ type: "message", offset: 2, data: "another's" }]);
  });

  test("[CM-1] gzip from 1 KB on for those who take it; `Vary` always says that it depends", async () => {
    const channel = newChannel();
    const { cursor } = await poll(server.url, `channels=${channel}`);
    const ask = async (accepted: string): Promise<[string | undefined, string]> => {
      const socket = await rawPoll(`channels=${channel}&since=${cursor}&wait=0`, [
        `Accept-Encoding: ${accepted}`,
        "Connection: close",
      ]);
      const { headers, body } = await socket.readResponse();
      return [headers.get("content-encoding"), `${headers.get("vary")} ${body.length > 1000}`];
    };
    expect(await ask("gzip")).toEqual([undefined, "accept-encoding false"]);
    await server.publish(channel, "x".repeat(5000));
    expect(await ask("gzip, br")).toEqual(["gzip", "accept-encoding false"]);
    expect(await ask("gzip;q=0")).toEqual([undefined, "accept-encoding true"]);
    expect(await ask("identity")).toEqual([undefined, "accept-encoding true"]);
    const { frames } = await poll(server.url, `channels=${channel}&since=${cursor}`, {
      headers: { "accept-encoding": "gzip" },
    });
    expect(frames).toMatchObject([{ data: "x".repeat(5000) }]);
  });

  test("[OW-11] [OW-12] headers: kept by nobody, held back by nobody, read by pages of allowed origins alone", async () => {
    const { headers } = await poll(server.url, "channels=a&wait=0");
    expect(headers.get("cache-control")).toBe("no-store, no-transform");
    expect(headers.get("x-accel-buffering")).toBe("no");
    const { origin } = new URL(server.url);
    const page = await poll(server.url, "channels=a&wait=0&quiet=true", { headers: { origin } });
    expect(page.headers.get("access-control-allow-origin")).toBe(origin);
    expect(page.headers.get("vary")).toBe("accept-encoding, origin");
    const stranger = await poll(server.url, "channels=a", { headers: { origin: "https://evil.example" } });
    expect([stranger.status, stranger.headers.get("access-control-allow-origin")]).toEqual([403, null]);
    const preflight = await fetch(`${server.url}/poll`, { method: "OPTIONS", headers: { origin } });
    expect([preflight.status, preflight.headers.get("access-control-allow-methods")]).toEqual([204, "GET, POST"]);
    expect((await fetch(`${server.url}/poll?channels=a`, { method: "PUT" })).status).toBe(405);
    const refused = await poll(server.url, "", { headers: { origin } });
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([400, origin]);
  });
});

describe("what is refused", () => {
  test.each([
    ["nothing to subscribe to", ""],
    ["a bad name", "channels=with%20space"],
    ["a cursor that is none", "channels=a&since=!"],
    ["a cursor of nonsense", "channels=a&since=AAAA"],
    [
      "a cursor cut short",
      `channels=a&since=${encodeCursor(new Map([["a", { epoch: "e", offset: 7 }]]))?.slice(0, -3)}`,
    ],
    ["an unknown word", "channels=a&quiet=yes"],
    ["bare data, which polls do not have", "channels=a&frames=data"],
    [
      "a command that is none of the opening",
      `commands=${encodeURIComponent('{"type":"publish","channel":"a","data":1}')}`,
    ],
    ["a line that is no frame", "commands=hello"],
    ["a session id without end", `session=${"s".repeat(300)}`],
  ])("[OW-3] %s", async (_name, query) => {
    const { status, error } = await poll(server.url, query);
    expect([status, error?.code]).toEqual([400, 4104]);
  });

  test("[OW-3] unknown parameters are passed over, a bad token is 401, a server without the secret is none", async () => {
    expect((await poll(server.url, "channels=a&wait=0&flavour=vanilla")).status).toBe(200);
    const { status, error, headers } = await poll(server.url, "channels=a&token=x.y.z");
    expect([status, error?.code, headers.get("www-authenticate")]).toEqual([401, 4300, 'Bearer realm="longwire"']);
    const old = await server.token({ sub: "bob", exp: 1_000_000_000 });
    expect((await poll(server.url, `channels=a&token=${old}`)).error?.code).toBe(4301);
    const line = JSON.stringify({ type: "connect", token: "x.y.z" });
    expect((await poll(server.url, "", { body: line })).status).toBe(401);
    await untilSessions(0);
  });

  test("[LP-6] more channels than a cursor holds are refused at once, 1,000 too, in the query and in frames", async () => {
    const names = Array.from({ length: 1000 }, (_, n) => `channel-${n}`);
    expect((await poll(server.url, `channels=${names.slice(0, 40).join(",")}&wait=0`)).status).toBe(200);
    const many = await poll(server.url, `channels=${names.join(",")}`);
    expect([many.status, many.error?.code]).toEqual([400, 4104]);
    const body = names.map((channel) => JSON.stringify({ type: "subscribe", channel })).join("\n");
    expect((await poll(server.url, "", { body })).status).toBe(400);
    await untilSessions(0);
  });

  test("[LP-6] channels that only the server knows of and no cursor holds end the session, and the poll says so", async () => {
    const named = Array.from({ length: 100 }, (_, n) => `${"x".repeat(50)}-${n}`);
    const token = await server.token({ sub: "many", channels: named });
    const { status, frames } = await poll(server.url, `token=${token}`);
    expect(status).toBe(200);
    expect(frames.at(-1)).toMatchObject({ type: "disconnect", code: 4104, reconnect: false });
    await untilSessions(0);
  });

  test("[HI] what the history has lost is told once, and the next poll goes on", async () => {
    const channel = newChannel("short");
    const { cursor } = await poll(server.url, `channels=${channel}`);
    for (let n = 1; n <= 20; n++) await server.publish(channel, n);
    const late = await poll(server.url, `channels=${channel}&since=${cursor}`);
    expect(late.frames).toMatchObject([{ type: "subscribed", channel, offset: 20, recovered: false }]);
    const next = await poll(server.url, `channels=${channel}&since=${late.cursor}&wait=0`);
    expect(next.frames).toEqual([]);
  });
});

describe("clients that go away", () => {
  test("[OW-8] while they wait: their sessions end at once, and their descriptors are free", async () => {
    await untilSessions(0);
    const before = descriptors();
    const sockets = await Promise.all(Array.from({ length: 50 }, () => rawPoll("channels=gone&quiet=true")));
    await untilSessions(50);
    for (const socket of sockets) socket.destroy();
    await untilSessions(0);
    expect(await stats()).toMatchObject({ subscriptions: 0, channels: 0 });
    // Both ends are in this process; some keep-alive connections of the test itself may come and go.
    for (let n = 0; n < 100 && descriptors() > before + 5; n++) await Bun.sleep(20);
    expect(descriptors()).toBeLessThan(before + 20);
  });

  test("[OW-8] before the answer began, in the middle of a body, and at random", async () => {
    const token = await server.token({ sub: "hasty", channels: Array.from({ length: 20 }, (_, n) => `hasty-${n}`) });
    for (let n = 0; n < 100; n++) {
      const socket = await rawPoll(`channels=gone&quiet=true&token=${token}`);
      if (n % 3 > 0) await Bun.sleep(n % 7);
      socket.destroy();
    }
    const { port } = new URL(server.url);
    for (let n = 0; n < 20; n++) {
      const socket = await openSocket(Number(port));
      socket.send("POST /poll HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n", '{"type":"subscribe",');
      await Bun.sleep(n % 4);
      socket.destroy();
    }
    await untilSessions(0);
    expect(await stats()).toMatchObject({ subscriptions: 0, channels: 0 });
  });

  test("[OW-8] one that goes away with an answer on the way takes nothing along that is not in its cursor", async () => {
    const channel = newChannel();
    const { cursor } = await poll(server.url, `channels=${channel}`);
    const socket = await rawPoll(`channels=${channel}&since=${cursor}`);
    await untilSessions(1);
    const published = server.publish(channel, "once");
    socket.destroy();
    await published;
    const again = await poll(server.url, `channels=${channel}&since=${cursor}`);
    expect(again.frames).toMatchObject([{ offset: 1, data: "once" }]);
  });
});

describe("connections", () => {
  test("many polls use one keep-alive connection, with other requests between them", async () => {
    const channel = newChannel();
    const socket = await rawPoll(`channels=${channel}`);
    let cursor = cursorOf((await socket.readResponse()).body);
    for (let n = 1; n <= 30; n++) {
      socket.send(getPoll(`channels=${channel}&since=${cursor}`));
      await untilSessions(1);
      await server.publish(channel, n);
      const { status, body } = await socket.readResponse();
      expect([status, (JSON.parse(body) as { frames: unknown }).frames]).toEqual([
        200,
        [{ type: "message", channel, offset: n, data: n }],
      ]);
      cursor = cursorOf(body);
      if (n % 10 === 0) {
        socket.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        expect((await socket.readResponse()).status).toBe(200);
      }
    }
  });

  test("[OW-5] the same session on another transport replaces the poll, which says so with what it has", async () => {
    const channel = newChannel();
    const { frames, cursor } = await poll(server.url, `channels=${channel}`);
    const session = sessionOf(frames);
    const waiting = poll(server.url, `channels=${channel}&session=${session}&since=${cursor}`);
    await untilSessions(1);
    const page = await connectClient(server.url, { session });
    expect(page.frames[0]).toMatchObject({ type: "connected", session, resumed: true });
    const ended = await waiting;
    expect([ended.status, ended.cursor]).toEqual([200, cursor]);
    expect(ended.frames).toMatchObject([{ type: "disconnect", code: 4101, reconnect: false }]);
    const back = poll(server.url, `session=${session}&channels=${channel}&since=${cursor}&wait=0`);
    expect((await back).status).toBe(200);
    expect((await page.closed).code).toBe(4101);
  });

  test("[LP-5] whoever is kicked while it polls is told at once, with a cursor behind the last thing it was told", async () => {
    const channel = newChannel();
    const token = await server.token({ sub: "kicked" });
    const { cursor } = await poll(server.url, `channels=${channel}&token=${token}`);
    const waiting = poll(server.url, `channels=${channel}&token=${token}&since=${cursor}`);
    await untilSessions(1);
    await server.api("POST", "/api/users/kicked/disconnect", { reconnect: false });
    const { status, frames, cursor: last } = await waiting;
    expect([status, last]).toEqual([200, cursor]);
    expect(frames).toMatchObject([{ type: "disconnect", code: 4102, reconnect: false }]);
  });

  test("[CO-7] a token that expires while a poll waits ends it", async () => {
    const token = await server.token({ sub: "brief", exp: Math.floor(Date.now() / 1000) + 2 });
    const { frames } = await poll(server.url, `token=${token}&quiet=true`);
    expect(frames).toMatchObject([{ type: "disconnect", code: 4301, reconnect: true }]);
  });
});

describe("presence", () => {
  test("[OW-5] polls of one session are one presence: a join at the first, a leave after the last", async () => {
    const local = await startServer({ "channels-leave-delay-ms": "600" });
    try {
      const watcher = await connectClient(local.url);
      await watcher.request({ type: "subscribe", channel: "room", events: true });
      const subscribe = JSON.stringify({ type: "subscribe", channel: "room", presence: { name: "bob" }, events: true });
      const first = await poll(local.url, "", { body: subscribe });
      const session = sessionOf(first.frames);
      let { cursor } = first;
      for (let n = 0; n < 12; n++) {
        const answer = await poll(local.url, `session=${session}&quiet=true&wait=0.1&since=${cursor}`, {
          body: subscribe,
        });
        expect(answer.frames).toEqual([]);
        ({ cursor } = answer);
      }
      await watcher.next((frame) => frame.type === "leave");
      const seen = watcher.frames.filter(({ type }) => type === "join" || type === "leave");
      expect(seen.map(({ type }) => type)).toEqual(["join", "leave"]);
      watcher.terminate();
    } finally {
      await local.stop();
    }
  });

  test("[PR] a poll that asked for events is told who comes and goes", async () => {
    const channel = newChannel();
    const subscribe = JSON.stringify({ type: "subscribe", channel, events: true });
    const { cursor } = await poll(server.url, "", { body: subscribe });
    const waiting = poll(server.url, `since=${cursor}`, { body: subscribe });
    await untilSessions(1);
    const page = await connectClient(server.url);
    await page.request({ type: "subscribe", channel, presence: true });
    expect((await waiting).frames).toMatchObject([{ type: "join", channel }]);
    page.terminate();
    await untilSessions(0);
  });
});

describe("shutdown", () => {
  test("[LP-5] [BY-8] polls that wait are answered with `disconnect` 4200, and those that come then with 503", async () => {
    const local = await startServer();
    const { port } = new URL(local.url);
    const { cursor } = await poll(local.url, "channels=a");
    const waiting = Array.from({ length: 20 }, () => poll(local.url, `channels=a&since=${cursor}`));
    const idle = await openSocket(Number(port));
    idle.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    await idle.readResponse();
    await Bun.sleep(100);
    const stopped = local.stop();
    idle.send(getPoll("channels=a"));
    for (const { status, frames, cursor: last } of await Promise.all(waiting)) {
      expect([status, last]).toEqual([200, cursor]);
      expect(frames).toMatchObject([{ type: "disconnect", code: 4200, reconnect: true, after: expect.any(Number) }]);
    }
    const late = await idle.readResponse().catch(() => undefined);
    // The runtime may have closed the idle connection already.
    if (late !== undefined) expect([late.status, late.body]).toEqual([503, expect.stringContaining("4200")]);
    idle.destroy();
    await stopped;
  });
});
