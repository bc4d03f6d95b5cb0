/** Commands by POST over real sockets: who they speak for, what they are answered, what they leave alone. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { ServerFrame } from "@longwire/protocol";
import { poll, send } from "../../test/support/poll-client.ts";
import { openSocket } from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { type ClientOptions, connectClient, type TestClient } from "../../test/support/ws-client.ts";

const NAMESPACES = JSON.stringify({
  open: { publish: "everybody", historySize: 2000 },
  signed: { publish: "signed-in" },
  closed: { subscribe: "nobody", inbox: true },
  box: { publish: "everybody", inbox: true, subscribe: "signed-in" },
});

let server: TestServer;
const clients: TestClient[] = [];

beforeAll(async () => {
  server = await startServer({ namespaces: NAMESPACES, "message-bytes-max": "4096" });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.terminate();
});
afterAll(() => server.stop());

let channels = 0;
function newChannel(namespace = "open"): string {
  return `${namespace}:send-${++channels}`;
}

async function connect(options: ClientOptions = {}): Promise<TestClient> {
  const client = await connectClient(server.url, options);
  clients.push(client);
  return client;
}

function sessionOf({ frames: [greeting] }: { readonly frames: readonly ServerFrame[] }): string {
  return greeting?.type === "connected" ? greeting.session : "";
}

async function membersOf(channel: string): Promise<unknown> {
  return (await server.api("GET", `/api/channels/${encodeURIComponent(channel)}/presence`)).body;
}

describe("replies", () => {
  test("[SD-1] [SD-3] one line for each that asked for a reply, under the ids they had", async () => {
    const channel = newChannel();
    const { status, replies } = await send(server.url, "", [
      { type: "publish", channel, data: { n: 1 }, name: "first", id: 1 },
      { type: "publish", channel, data: 2 },
      { type: "ping", id: 3 },
      { type: "presence", channel, id: 4 },
      { type: "history", channel, id: 5 },
      { type: "call", method: "sum", data: [1, 2], id: 6 },
    ]);
    expect(status).toBe(200);
    const byId = new Map(replies.map((reply) => [(reply as { id?: number }).id, reply]));
    expect(byId.get(1)).toMatchObject({ type: "published", channel, offset: 1 });
    expect(byId.get(3)).toMatchObject({ type: "pong" });
    expect(byId.get(4)).toMatchObject({ type: "presence", members: [] });
    expect(byId.get(5)).toMatchObject({ type: "history", offset: 2 });
    expect(byId.get(6)).toMatchObject({ type: "error", code: 113 });
    expect(replies).toHaveLength(5);
  });

  test("[SD-3] no reply at all is 204; a body of nothing too", async () => {
    expect(
      (await send(server.url, "", [{ type: "publish", channel: newChannel(), data: 1 }, { type: "pong" }])).status,
    ).toBe(204);
    expect((await send(server.url, "", [])).status).toBe(204);
    expect((await send(server.url, "", ["", "\r", "  "])).status).toBe(204);
  });

  test.each([
    ["connect", { type: "connect", token: "x" }, "query"],
    ["subscribe", { type: "subscribe", channel: "a" }, "names all channels"],
    ["unsubscribe", { type: "unsubscribe", channel: "a" }, "that are left"],
  ])("[SD-1] `%s` is refused in words that say how; what follows is carried out", async (_name, frame, words) => {
    const { replies } = await send(server.url, "", [{ ...frame, id: 7 }, frame, { type: "ping", id: 8 }]);
    expect(replies).toMatchObject([
      { type: "error", id: 7, code: 114, message: expect.stringContaining(words) },
      { type: "error", code: 114 },
      { type: "pong", id: 8 },
    ]);
  });

  test("[FR-9] [SD-3] a thousand lines in order, in one answer", async () => {
    const channel = newChannel();
    const lines = Array.from({ length: 1000 }, (_, n) => ({ type: "publish", channel, data: n, id: n + 1 }));
    const { replies } = await send(server.url, "", [...lines, { type: "ping", id: 5000 }]);
    const published = replies.filter(({ type }) => type === "published") as { id?: number; offset?: number }[];
    expect(published.map(({ id, offset }) => [id, offset])).toEqual(lines.map(({ id }) => [id, id]));
    expect(replies).toHaveLength(1001);
  });

  test("[SD-3] more lines than wait at once beside a slow command are all carried out", async () => {
    const channel = newChannel();
    const lines = Array.from({ length: 300 }, (_, n) => [
      { type: "history", channel, limit: 1 },
      { type: "publish", channel, data: `${n} ${"x".repeat(2000)}` },
    ]);
    const { status, replies } = await send(server.url, "", [...lines.flat(), { type: "ping", id: 1 }]);
    expect([status, replies.at(-1)]).toMatchObject([200, { type: "pong", id: 1 }]);
    const { body } = await server.api("GET", `/api/channels/${encodeURIComponent(channel)}`);
    expect(body).toMatchObject({ offset: 300 });
  });

  test("[SD-5] a line that is too long is refused under its id, the others are carried out", async () => {
    const channel = newChannel();
    const long = { type: "publish", channel, data: "x".repeat(4096), id: 2 };
    const { replies } = await send(server.url, "", [
      { type: "publish", channel, data: 1, id: 1 },
      long,
      `{"type":"publish","data":"${"x".repeat(4096)}"`,
      "not a frame",
      { type: "publish", channel, data: 3, id: 3 },
    ]);
    const faults = replies.filter(({ type }) => type === "error");
    expect(faults).toMatchObject([{ id: 2, code: 104 }, { code: 104 }, { code: 100 }]);
    const published = replies.filter(({ type }) => type === "published");
    expect(published).toMatchObject([
      { id: 1, offset: 1 },
      { id: 3, offset: 2 },
    ]);
  });

  test("[SD-5] a body that is too large, and one that is no UTF-8, carry out nothing", async () => {
    const local = await startServer({
      "body-bytes-max": "2048",
      "publication-bytes-max": "1024",
      "channels-publish": "everybody",
    });
    const line = JSON.stringify({ type: "publish", channel: "a", data: 1 });
    const large = await fetch(`${local.url}/send`, { method: "POST", body: `${line}\n`.repeat(60) });
    expect([large.status, await large.json()]).toEqual([413, { error: { code: 4207, message: expect.anything() } }]);
    const bytes = Buffer.concat([Buffer.from(`${line}\n`), Uint8Array.of(0xff)]);
    expect((await fetch(`${local.url}/send`, { method: "POST", body: bytes })).status).toBe(400);
    expect((await local.api("GET", "/api/channels/a")).body).toMatchObject({ offset: 0 });
    await local.stop();
  });

  test("[P4] more replies than may wait for one client end the answer with `disconnect` 4201", async () => {
    const channel = newChannel();
    for (let n = 0; n < 60; n++) await server.publish(channel, "x".repeat(20_000));
    const lines = Array.from({ length: 20 }, (_, n) => ({ type: "history", channel, id: n + 1 }));
    const { status, replies } = await send(server.url, "", lines);
    expect(status).toBe(200);
    expect(replies.at(-1)).toMatchObject({ type: "disconnect", code: 4201 });
    expect(replies.length).toBeLessThan(20);
  });
});

describe("who it speaks for", () => {
  test("[SD-2] a token in the query; a bad one is 401 and nothing is carried out", async () => {
    const channel = newChannel("signed");
    const token = await server.token({ sub: "bob" });
    const line = { type: "publish", channel, data: 1, id: 1 };
    expect((await send(server.url, "", [line])).replies).toMatchObject([{ type: "error", code: 302 }]);
    expect(await send(server.url, "token=x.y.z", [line])).toMatchObject({ status: 401, error: { code: 4300 } });
    const old = await server.token({ sub: "bob", exp: 1_000_000_000 });
    expect(await send(server.url, `token=${old}`, [line])).toMatchObject({ status: 401, error: { code: 4301 } });
    expect((await send(server.url, `token=${token}`, [line])).replies).toMatchObject([
      { type: "published", offset: 1 },
    ]);
    const history = await server.api("GET", `/api/channels/${encodeURIComponent(channel)}/history`);
    expect(history.body).toMatchObject({ publications: [{ user: "bob" }] });
  });

  test("[SD-2] `echo: false` of the live session leaves out what is sent for it here; others get it", async () => {
    const channel = newChannel();
    const live = await connect();
    const other = await connect();
    await live.request({ type: "subscribe", channel, echo: false });
    await other.request({ type: "subscribe", channel });
    await send(server.url, `session=${sessionOf(live)}`, [{ type: "publish", channel, data: "own" }]);
    await send(server.url, "", [{ type: "publish", channel, data: "another's" }]);
    await live.next((frame) => frame.type === "message");
    await other.next((frame) => frame.type === "message" && frame.data === "another's");
    expect(live.messages(channel).map(({ data }) => data)).toEqual(["another's"]);
    expect(other.messages(channel).map(({ data }) => data)).toEqual(["own", "another's"]);
  });

  test("[SD-2] a user that the application has bound to the session counts, while it is connected and after", async () => {
    const channel = newChannel("signed");
    const live = await connect();
    const session = sessionOf(live);
    await server.api("POST", `/api/sessions/${session}/user`, { user: "bound" });
    const line = { type: "publish", channel, data: 1, id: 1 };
    expect((await send(server.url, `session=${session}`, [line])).replies).toMatchObject([{ type: "published" }]);
    live.terminate();
    await live.closed;
    expect((await send(server.url, `session=${session}`, [line])).replies).toMatchObject([{ type: "published" }]);
    const { body } = await server.api("GET", `/api/channels/${encodeURIComponent(channel)}/history`);
    expect(body).toMatchObject({ publications: [{ user: "bound" }, { user: "bound" }] });
  });

  test("[SD-2] a session that is unknown, or somebody else's, leaves the token's own identity", async () => {
    const channel = newChannel("signed");
    const live = await connect({ token: await server.token({ sub: "alice" }) });
    const token = await server.token({ sub: "bob" });
    const line = { type: "publish", channel, data: 1 };
    await send(server.url, `token=${token}&session=nobody`, [line]);
    await send(server.url, `token=${token}&session=${sessionOf(live)}`, [line]);
    // Without the token of its user the id alone is nobody.
    expect((await send(server.url, `session=${sessionOf(live)}`, [{ ...line, id: 1 }])).replies).toMatchObject([
      { code: 302 },
    ]);
    const { body } = await server.api("GET", `/api/channels/${encodeURIComponent(channel)}/history`);
    expect(body).toMatchObject({ publications: [{ user: "bob" }, { user: "bob" }] });
  });

  test("[SD-2] the session it speaks for is not disturbed, listed twice or kept for longer", async () => {
    const channel = newChannel();
    const token = await server.token({ sub: "calm" });
    const live = await connect({ token });
    const watcher = await connect();
    await watcher.request({ type: "subscribe", channel, events: true });
    await live.request({ type: "subscribe", channel, presence: { name: "calm" } });
    await watcher.next((frame) => frame.type === "join");
    const before = await membersOf(channel);
    const said = live.frames.length;
    for (let n = 0; n < 20; n++)
      await send(server.url, `token=${token}&session=${sessionOf(live)}`, [{ type: "presence", channel, id: 1 }]);
    expect(await membersOf(channel)).toEqual(before);
    const { body } = await server.api("GET", "/api/users/calm");
    expect((body as { sessions: unknown[] }).sessions).toHaveLength(1);
    expect(live.frames).toHaveLength(said);
    expect(watcher.frames.filter(({ type }) => type === "leave" || type === "join")).toHaveLength(1);
    expect((await live.request({ type: "ping" })).type).toBe("pong");
  });

  test("[SD-2] whoever only sends is not there: no session, no user, nobody present", async () => {
    const token = await server.token({ sub: "sender" });
    await send(server.url, `token=${token}`, [{ type: "publish", channel: newChannel(), data: 1, id: 1 }]);
    expect((await server.api("GET", "/api/users/sender")).body).toMatchObject({ sessions: [] });
    const { body } = await server.api("GET", "/api/stats");
    expect(body).toMatchObject({ sessions: 0, users: 0, subscriptions: 0 });
  });

  test("[SD-2] a session that polls: commands between and during its polls", async () => {
    const channel = newChannel();
    const token = await server.token({ sub: "poller" });
    const first = await poll(server.url, `channels=${channel}&token=${token}`);
    const session = sessionOf(first);
    const query = `token=${token}&session=${session}`;
    await send(server.url, query, [{ type: "publish", channel, data: 1 }]);
    const second = await poll(server.url, `channels=${channel}&${query}&since=${first.cursor}`);
    expect(second.frames).toMatchObject([{ type: "message", offset: 1, user: "poller" }]);
    const waiting = poll(server.url, `channels=${channel}&${query}&since=${second.cursor}`);
    await Bun.sleep(50);
    await send(server.url, query, [{ type: "publish", channel, data: 2 }]);
    expect((await waiting).frames).toMatchObject([{ type: "message", offset: 2 }]);
  });
});

describe("ack and refresh", () => {
  test("[SD-4] an acknowledgement needs no subscription, but the right to have one; an epoch that is over does not count", async () => {
    const channel = newChannel("box");
    const token = await server.token({ sub: "reader" });
    for (let n = 1; n <= 3; n++) await server.publish(channel, n);
    const { body } = await server.api("GET", `/api/channels/${encodeURIComponent(channel)}`);
    const { epoch } = body as { epoch: string };
    const { replies } = await send(server.url, `token=${token}`, [
      { type: "ack", channel, offset: 1 },
      { type: "ack", channel, offset: 2, epoch, id: 2 },
      { type: "ack", channel, offset: 3, epoch: "another", id: 3 },
      { type: "ack", channel, offset: 99, id: 4 },
      { type: "ack", channel: newChannel("closed"), offset: 1, id: 5 },
    ]);
    const byId = new Map(replies.map((reply) => [(reply as { id?: number }).id, reply]));
    expect(byId.get(2)).toMatchObject({ type: "acked", offset: 2 });
    expect(byId.get(3)).toMatchObject({ type: "error", code: 102 });
    expect(byId.get(4)).toMatchObject({ type: "error", code: 102 });
    expect(byId.get(5)).toMatchObject({ type: "error", code: 109 });
    expect((await send(server.url, "", [{ type: "ack", channel, offset: 1, id: 1 }])).replies).toMatchObject([
      { code: 302 },
    ]);
    const inbox = await poll(server.url, `channels=${channel}&token=${token}&since=inbox&quiet=true`);
    expect(inbox.frames).toMatchObject([{ type: "message", channel, offset: 3 }]);
  });

  test("[IN] one device's position is its own", async () => {
    const channel = newChannel("box");
    const token = await server.token({ sub: "owner" });
    for (let n = 1; n <= 2; n++) await server.publish(channel, n);
    await send(server.url, `token=${token}&client=phone`, [{ type: "ack", channel, offset: 2 }]);
    const inboxOf = async (client: string): Promise<unknown[]> => {
      const query = `channels=${channel}&token=${token}&client=${client}&since=inbox&quiet=true&wait=0`;
      return (await poll(server.url, query)).frames.map((frame) => (frame as { offset?: number }).offset);
    };
    expect([await inboxOf("phone"), await inboxOf("desk")]).toEqual([[], [1, 2]]);
  });

  test("[CO-8] refresh is answered, for the same user alone", async () => {
    const token = await server.token({ sub: "bob" });
    const exp = Math.floor(Date.now() / 1000) + 100;
    const { replies } = await send(server.url, `token=${token}`, [
      { type: "refresh", token: await server.token({ sub: "bob", exp }), id: 1 },
      { type: "refresh", token: await server.token({ sub: "eve" }), id: 2 },
    ]);
    expect(replies).toMatchObject([
      { type: "refreshed", id: 1, expires: expect.any(Number) },
      { type: "error", id: 2, code: 300 },
    ]);
  });
});

describe("requests", () => {
  test("[OW-12] methods, origins and preflights as on every one-way transport", async () => {
    const { origin } = new URL(server.url);
    expect((await fetch(`${server.url}/send`)).status).toBe(405);
    const preflight = await fetch(`${server.url}/send`, { method: "OPTIONS", headers: { origin } });
    expect([preflight.status, preflight.headers.get("access-control-allow-methods")]).toEqual([204, "POST"]);
    const page = await fetch(`${server.url}/send`, {
      method: "POST",
      headers: { origin },
      body: '{"type":"ping","id":1}',
    });
    expect([page.headers.get("access-control-allow-origin"), page.headers.get("content-type")]).toEqual([
      origin,
      "application/x-ndjson; charset=utf-8",
    ]);
    const stranger = { origin: "https://evil.example" };
    expect((await fetch(`${server.url}/send`, { method: "POST", headers: stranger, body: "{}" })).status).toBe(403);
  });

  test("[OW-8] a client that does not wait for its answer has its commands carried out, and leaves nothing behind", async () => {
    const channel = newChannel();
    const { port } = new URL(server.url);
    for (let n = 0; n < 30; n++) {
      const socket = await openSocket(Number(port));
      const body = JSON.stringify({ type: "publish", channel, data: n });
      socket.send(`POST /send HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      if (n % 2 === 0) await socket.readResponse();
      socket.destroy();
    }
    expect((await server.api("GET", "/api/stats")).body).toMatchObject({ sessions: 0, subscriptions: 0 });
    const { body } = await server.api("GET", `/api/channels/${encodeURIComponent(channel)}`);
    expect((body as { offset: number }).offset).toBeGreaterThanOrEqual(15);
  });
});
