/** The life of sessions over real sockets: subscriptions, resume, presence, liveness. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ServerFrame } from "@longwire/protocol";
import { OPCODES, openWebSocket, webSocketFrame } from "../../test/support/raw-socket.ts";
import { type Flags, signToken, startServer, SUITE, type TestServer } from "../../test/support/server.ts";
import { spawnServer } from "../../test/support/server-process.ts";
import { connectClient, type TestClient } from "../../test/support/ws-client.ts";

const clients: TestClient[] = [];
const servers: TestServer[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.terminate();
  for (const server of servers.splice(0)) await server.stop();
});

async function serve(flags: Flags = {}): Promise<TestServer> {
  const server = await startServer(flags);
  servers.push(server);
  return server;
}

async function open(server: TestServer, user?: string, session?: string): Promise<TestClient> {
  const client = await connectClient(server.url, {
    ...(user !== undefined && { token: await signToken({ sub: user }) }),
    ...(session !== undefined && { session }),
  });
  clients.push(client);
  return client;
}

const eventsOf = (client: TestClient): string[] =>
  client.frames.flatMap((frame) =>
    frame.type === "join" || frame.type === "leave" ? [`${frame.type} ${frame.member.user ?? ""}`] : [],
  );

const is = (type: ServerFrame["type"], user: string) => (frame: ServerFrame) =>
  frame.type === type && "member" in frame && frame.member.user === user;

describe("subscriptions", () => {
  test("[SU-10] there are at most subscriptionsMax on a session, those the server makes included", async () => {
    const server = await serve({ "subscriptions-max": "3" });
    const bob = await open(server, "bob");
    for (const channel of ["a", "b"]) await bob.request({ type: "subscribe", channel });
    expect(await bob.ask({ type: "subscribe", channel: "c" })).toMatchObject({ type: "error", code: 112 });
    await bob.request({ type: "unsubscribe", channel: "a" });
    await bob.request({ type: "subscribe", channel: "c" });
    await server.publish("b", 1);
    expect(await bob.received("b", 1)).toHaveLength(1);
  });

  test("[SU-2] [SU-3] `offset` is where the stream goes on: the client's own position with a replay, never the top", async () => {
    const server = await serve();
    let epoch = "";
    for (const data of [1, 2, 3]) ({ epoch } = await server.publish("a", data));
    for (const [since, offset] of [
      [{ epoch, offset: 1 }, 1],
      [{ epoch, offset: 3 }, 3],
      ["earliest", 0],
      ["latest", 3],
      [undefined, 3],
    ] as const) {
      const client = await open(server);
      const answer = await client.request({ type: "subscribe", channel: "a", ...(since !== undefined && { since }) });
      expect([since, answer.offset, answer.recovered]).toEqual([since, offset, true]);
      // [SU-1] What follows begins right after it.
      await server.publish("a", "next", { history: false });
      await client.next((frame) => frame.type === "message" && frame.offset === undefined);
      expect(client.messages("a").flatMap((message) => message.offset ?? [])).toEqual([1, 2, 3].slice(offset));
    }
  });

  test("[NS-4] [AP-20] where nobody may, no client does, whatever its token says; server and API key do not ask", async () => {
    const server = await serve({ "channels-subscribe": "nobody", "channels-publish": "nobody" });
    const all = { subscribe: ["*"], publish: ["*"] };
    const token = await signToken({ sub: "bob", allow: all });
    const bob = await connectClient(server.url, { token });
    clients.push(bob);
    expect(await bob.ask({ type: "subscribe", channel: "a" })).toMatchObject({ code: 109 });
    expect(await bob.ask({ type: "subscribe", channel: "a", token: await signToken({ channel: "a" }) })).toMatchObject({
      code: 109,
    });
    expect(await bob.ask({ type: "publish", channel: "a", data: 1 })).toMatchObject({ code: 109 });
    await server.api("POST", `/api/sessions/${bob.session}/subscribe`, { channel: "a" });
    await server.publish("a", "from the backend");
    expect((await bob.received("a", 1)).map(({ data }) => data)).toEqual(["from the backend"]);
  });
});

describe("resume", () => {
  test("[CO-14] what the client had subscribed is not resumed, what the server had is", async () => {
    const server = await serve();
    const bob = await open(server, "bob");
    await bob.request({ type: "subscribe", channel: "mine" });
    await server.api("POST", `/api/sessions/${bob.session}/subscribe`, { channel: "given" });
    bob.terminate();
    const back = await open(server, "bob", bob.session);
    await back.next((frame) => frame.type === "subscribed" && frame.channel === "given");
    await back.request({ type: "ping" });
    const subscribed = back.frames.flatMap((frame) => (frame.type === "subscribed" ? [frame.channel] : []));
    expect(new Set(subscribed)).toEqual(new Set(["@bob", "given"]));
  });

  test("[CO-12] a session is not taken up by another user or without its token", async () => {
    const server = await serve();
    const bob = await open(server, "bob");
    for (const user of ["alice", undefined]) {
      const other = await open(server, user, bob.session);
      expect(other.frames[0]).toMatchObject({ type: "connected", resumed: false });
      expect(other.session).not.toBe(bob.session);
    }
    expect(bob.isOpen).toBe(true);
  });

  test("[CO-13] one that is still connected elsewhere ends there with 4101", async () => {
    const server = await serve();
    const bob = await open(server, "bob");
    const again = await open(server, "bob", bob.session);
    expect(again.frames[0]).toMatchObject({ session: bob.session, resumed: true });
    expect((await bob.closed).code).toBe(4101);
    expect(bob.frames.at(-1)).toMatchObject({ reconnect: false });
    expect((await server.api("GET", `/api/sessions/${bob.session}`)).status).toBe(200);
  });

  test("[CO-15] session ids have at least 120 bits and do not repeat", async () => {
    const server = await serve();
    const ids = await Promise.all(Array.from({ length: 200 }, async () => (await open(server)).session));
    expect(new Set(ids).size).toBe(200);
    for (const id of ids) expect(id).toMatch(/^[\w-]{20,}$/);
  });
});

describe("presence", () => {
  test("[PR-4] [PR-5] [PR-7] [PR-8] turning a page is no leave and no join; who does not come back has left", async () => {
    const server = await serve({ "channels-leave-delay-ms": "3000" });
    const watcher = await open(server, "watcher");
    await watcher.request({ type: "subscribe", channel: "room", events: true });
    const enter = async (): Promise<TestClient> => {
      const bob = await open(server, "bob");
      await bob.request({ type: "subscribe", channel: "room", presence: true });
      return bob;
    };
    const first = await enter();
    await watcher.next(is("join", "bob"));
    first.terminate();
    await first.closed;
    expect((await server.api("GET", "/api/channels/room/presence")).body).toMatchObject({ users: 1 });
    const second = await enter();
    const third = await enter();
    second.terminate();
    third.terminate();
    await watcher.next(is("leave", "bob"));
    expect(eventsOf(watcher)).toEqual(["join bob", "leave bob"]);
    expect((await server.api("GET", "/api/channels/room/presence")).body).toMatchObject({ users: 0, members: [] });
  });

  test("[PR-6] leaving by unsubscribe shows at once", async () => {
    const server = await serve({ "channels-leave-delay-ms": "3600000" });
    const watcher = await open(server, "watcher");
    await watcher.request({ type: "subscribe", channel: "room", events: true, presence: true });
    expect(await watcher.next(is("join", "watcher"))).toBeDefined();
    const bob = await open(server, "bob");
    await bob.request({ type: "subscribe", channel: "room", presence: true, events: true });
    await bob.request({ type: "unsubscribe", channel: "room" });
    await watcher.next(is("leave", "bob"));
    await bob.request({ type: "ping" });
    expect(eventsOf(bob)).not.toContain("leave bob");
  });

  test("[PR-10] presence and its events need their own right", async () => {
    const server = await serve({ "channels-presence": "signed-in" });
    const guest = await open(server);
    for (const frame of [
      { type: "presence", channel: "room" },
      { type: "subscribe", channel: "room", presence: true },
      { type: "subscribe", channel: "room", presence: { a: 1 } },
      { type: "subscribe", channel: "room", events: true },
    ]) {
      expect(await guest.ask(frame)).toMatchObject({ type: "error", code: 302 });
    }
    expect(await guest.ask({ type: "subscribe", channel: "room", presence: false, events: false })).toMatchObject({
      type: "subscribed",
    });
  });

  test("[HI-6] the history needs its own right, a subscription does not give it", async () => {
    const server = await serve({ "channels-history": "signed-in" });
    const guest = await open(server);
    await guest.request({ type: "subscribe", channel: "room" });
    expect(await guest.ask({ type: "history", channel: "room" })).toMatchObject({ type: "error", code: 302 });
    const bob = await open(server, "bob");
    expect(await bob.ask({ type: "history", channel: "room" })).toMatchObject({ type: "history", publications: [] });
  });

  test("[PR-11] after a server was killed nobody it had is listed", async () => {
    const server = await spawnServer();
    const bob = await connectClient(server.url, { token: await signToken({ sub: "bob" }) });
    await bob.request({ type: "subscribe", channel: "room", presence: true });
    const listed = async () => (await server.api("GET", "/api/channels/room/presence")).body as { users: number };
    // Another process may hear of it a moment after the reply.
    while ((await listed()).users !== 1) await Bun.sleep(10);
    server.kill("SIGKILL");
    await bob.closed;
    await server.exited;
    await server.start();
    // In Redis it stands until its lease has run out: nobody there knows that the process is dead (RD-8).
    while (SUITE.engine === "redis" && (await listed()).users > 0) await Bun.sleep(100);
    expect(await listed()).toMatchObject({ users: 0, members: [] });
    await server.remove();
  });
});

describe("liveness", () => {
  test("[LI-2] [LI-5] [LI-6] [LI-7] who answers no ping is ended with 4202, who does stays, before the first frame too", async () => {
    const server = await serve({ "ping-interval-ms": "1000", "ping-timeout-ms": "2000" });
    const { port } = new URL(server.url);
    const deaf = await openWebSocket(Number(port), "/ws");
    const mute = await openWebSocket(Number(port), "/ws");
    mute.send(webSocketFrame("text", '{"type":"subscribe","channel":"talk","id":1}'));
    const quiet = await connectClient(server.url, { connect: false });
    clients.push(quiet);
    // [LI-2] Sending to it is no sign of life.
    const talk = setInterval(() => void server.publish("talk", 1), 200);
    const ends = await Promise.all(
      [deaf, mute].map(async (socket) => {
        const opcodes: number[] = [];
        for (;;) {
          const frame = await socket.readFrame();
          if (frame === undefined) return { opcodes, code: undefined };
          opcodes.push(frame.opcode);
          if (frame.opcode === OPCODES.close) return { opcodes, code: frame.code };
        }
      }),
    );
    clearInterval(talk);
    for (const { opcodes, code } of ends) {
      expect(code).toBe(4202);
      expect(opcodes).toContain(OPCODES.ping);
    }
    // The runtime's client answers pings; it was there as long and longer.
    expect(quiet.isOpen).toBe(true);
    expect((await quiet.request({ type: "connect" })).ping).toBe(1000);
    deaf.destroy();
    mute.destroy();
  });

  test("[LI-3] [LI-4] JSON pings go to who asked for them, and need no answer of their own", async () => {
    const server = await serve({ "ping-interval-ms": "1000" });
    const asked = await connectClient(server.url, { ping: true });
    const other = await open(server);
    clients.push(asked);
    await asked.next((frame) => frame.type === "ping");
    asked.send({ type: "pong" });
    expect(await asked.ask({ type: "ping" })).toMatchObject({ type: "pong" });
    await asked.next((frame) => frame.type === "ping");
    expect(other.frames.map(({ type }) => type)).not.toContain("ping");
    expect(asked.frames.map(({ type }) => type)).not.toContain("error");
  });
});
