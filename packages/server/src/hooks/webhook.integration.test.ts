/** The application's answers over real HTTP, asked for by clients on real sockets. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ServerFrame } from "@longwire/protocol";
import { connectBare } from "../../test/support/bare-client.ts";
import { type BackendAnswer, type FakeBackend, startBackend } from "../../test/support/fake-backend.ts";
import { poll, send } from "../../test/support/poll-client.ts";
import { type Flags, PROCESSES, startServer, SUITE, type TestServer } from "../../test/support/server.ts";
import { connectTcp } from "../../test/support/tcp-client.ts";
import { connectClient } from "../../test/support/ws-client.ts";

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function start(flags: Flags = {}): Promise<{ backend: FakeBackend; server: TestServer }> {
  const backend = await startBackend();
  ends.push(() => backend.stop());
  const server = await startServer({ "hook-url": backend.url, ...flags });
  ends.push(() => server.stop());
  return { backend, server };
}

/** What a `connect` is answered with. */
async function attempt(server: TestServer, headers: Readonly<Record<string, string>> = {}): Promise<ServerFrame> {
  const client = await connectClient(server.url, { connect: false, headers });
  client.send({ type: "connect", id: 1 });
  const frame = await client.next((one) => "id" in one && one.id === 1);
  client.terminate();
  return frame;
}

const HEADERS = { cookie: "PHPSESSID=abc", "user-agent": "test", "x-secret": "not shown" };

describe("who connects", () => {
  test("[HK-2] [HK-3] the cookie of a client reaches the application on every transport, and its answer is who it is", async () => {
    const { backend, server } = await start({
      "tcp-listeners": '[{"port":0,"framing":"text","channel":"room"}]',
      "channels-publish": "signed-in",
    });
    backend.answer = ({ headers, transport }) => {
      if (transport === "tcp") return { allow: true, user: "device" };
      return headers?.["cookie"] === "PHPSESSID=abc" ? { allow: true, user: 7, channels: ["news"] } : { allow: false };
    };
    const client = await connectClient(server.url, { headers: HEADERS, query: { page: "1", channels: "a" } });
    expect(client.frames[0]).toMatchObject({ type: "connected", user: "7" });
    const bare = await connectBare(`${server.url}/raw/room`, HEADERS);
    bare.send("hi");
    expect(await bare.received(1)).toEqual(["hi"]);
    for (const path of ["/sse?channels=a", "/sse/a", "/stream?channels=a"]) {
      const controller = new AbortController();
      const { body } = await fetch(`${server.url}${path}`, { headers: HEADERS, signal: controller.signal });
      let text = "";
      for await (const chunk of body ?? []) {
        text += Buffer.from(chunk).toString();
        if (text.includes('"channel":"a"')) break;
      }
      controller.abort();
      expect(text).toContain('"user":"7"');
    }
    const polled = await poll(server.url, "channels=a&wait=0", { headers: HEADERS });
    expect(polled.frames[0]).toMatchObject({ type: "connected", user: "7" });
    const response = await fetch(`${server.url}/send`, {
      method: "POST",
      headers: HEADERS,
      body: '{"type":"publish","id":1,"channel":"room","data":1}',
    });
    expect(await response.json()).toMatchObject({ type: "published", id: 1 });
    const tcp = await connectTcp(server.tcpPorts[0] ?? 0);
    tcp.socket.destroy();
    const connects = backend.asked.filter(({ event }) => event === "connect");
    expect([...new Set(connects.map(({ transport }) => transport))]).toEqual([
      "websocket",
      "sse",
      "stream",
      "poll",
      "send",
      "tcp",
    ]);
    for (const question of connects.filter(({ transport }) => transport !== "tcp")) {
      expect(question.headers).toEqual({ cookie: "PHPSESSID=abc", "user-agent": "test" });
    }
    expect(connects[0]).toMatchObject({ query: { page: "1" }, address: "127.0.0.1", protocol: "native" });
    await client.close();
  });

  test("[HK-4] [HK-5] refused and not to be asked are told apart on every transport", async () => {
    const { backend, server } = await start({ "hook-timeout-ms": "200" });
    const get = async (path: string, body?: string): Promise<[number, number | undefined]> => {
      const response = await fetch(`${server.url}${path}`, body === undefined ? {} : { method: "POST", body });
      const { error } = (
        response.headers.get("content-type")?.startsWith("application/json")
          ? await response.json()
          : { error: undefined }
      ) as { error?: { code: number } };
      if (error === undefined) await response.body?.cancel();
      return [response.status, error?.code];
    };
    const outcomes = async (): Promise<unknown> => ({
      connect: await attempt(server).then((frame) => "code" in frame && frame.code),
      query: (await (await connectClient(server.url, { query: { channels: "a" }, connect: false })).closed).code,
      raw: (await (await connectBare(`${server.url}/raw/a`)).closed).code,
      stream: await get("/stream?channels=a"),
      poll: await get("/poll?channels=a"),
      send: await get("/send", '{"type":"ping"}'),
      sse: (await get("/sse/a"))[0],
    });
    const answers: [string, BackendAnswer, "refused" | "unavailable"][] = [
      ["allow: false", { allow: false }, "refused"],
      ["403", { status: 403, body: "<h1>no</h1>" }, "refused"],
      ["500", { status: 500, body: "Fatal error: Allowed memory size" }, "unavailable"],
      ["silence", "silence", "unavailable"],
      ["hanging up", "hang up", "unavailable"],
      ["garbage", { status: 200, body: "\u0000{{" }, "unavailable"],
      ["a redirect", { status: 302, body: "", headers: { location: "/login" } }, "unavailable"],
    ];
    for (const [name, answer, outcome] of answers) {
      backend.answer = () => answer;
      expect([name, await outcomes()]).toEqual([
        name,
        outcome === "refused"
          ? {
              connect: 109,
              query: 4103,
              raw: 4103,
              stream: [403, 4103],
              poll: [403, 4103],
              send: [403, 4103],
              sse: 403,
            }
          : // An EventSource that sees another status than 200 never comes back.
            {
              connect: 201,
              query: 4204,
              raw: 4204,
              stream: [503, 4204],
              poll: [503, 4204],
              send: [503, 4204],
              sse: 200,
            },
      ]);
    }
    backend.answer = () => ({ allow: true, user: "bob" });
    expect(await attempt(server)).toMatchObject({ type: "connected", user: "bob" });
    const { port } = new URL(backend.url);
    await backend.stop();
    expect(await attempt(server)).toMatchObject({ type: "error", code: 201 });
    await backend.start(Number(port));
    expect(await attempt(server)).toMatchObject({ type: "connected", user: "bob" });
  }, 30_000);

  test("[HK-5] an answer without end is not read to its end", async () => {
    const { backend, server } = await start({ "publication-bytes-max": "1024" });
    let written = 0;
    async function* endless(): AsyncGenerator<string> {
      for (;;) {
        yield "x".repeat(64 * 1024);
        written += 64 * 1024;
        await Bun.sleep(1);
      }
    }
    backend.answer = () => ({ status: 200, body: endless() });
    expect(await attempt(server)).toMatchObject({ type: "error", code: 201 });
    while (backend.atOnce > 0) await Bun.sleep(10);
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });

  test("[HK-1] the secret goes along, and redirects never get it", async () => {
    const { backend, server } = await start({ "hook-secret": "secret-of-the-hook-1" });
    const seen: (string | undefined)[] = [];
    backend.answer = (_, request) => {
      seen.push(request.headers.authorization, request.method, request.headers["content-type"]);
      return { allow: true };
    };
    await attempt(server);
    expect(seen).toEqual(["Bearer secret-of-the-hook-1", "POST", "application/json"]);
    backend.answer = () => ({ status: 307, body: "", headers: { location: backend.url } });
    const before = backend.asked.length;
    await attempt(server);
    expect(backend.asked.length).toBe(before + 1);
  });

  test("[HK-1] the client's cookie comes as a cookie too, so that a framework finds its session", async () => {
    const { backend, server } = await start({ origins: "https://example.com" });
    const seen: unknown[] = [];
    backend.answer = ({ headers }, request) => {
      seen.push([headers?.["cookie"], request.headers.cookie]);
      return { allow: true };
    };
    await attempt(server, { cookie: "a=1; b=2" });
    await attempt(server, { cookie: "a=\u00e9\u00ff" });
    await attempt(server, { cookie: "a=1", origin: "https://example.com" });
    // Bound to loopback, pages of this machine may connect, as nobody.
    await attempt(server, { cookie: "a=1", origin: "http://localhost:1" });
    expect(seen).toEqual([
      ["a=1; b=2", "a=1; b=2"],
      ["a=\u00e9\u00ff", "a=\u00e9\u00ff"],
      ["a=1", "a=1"],
      [undefined, undefined],
    ]);
  });

  test("[HK-2] tokens: checked here where they are ours, by the application where it is always asked", async () => {
    const { backend, server } = await start();
    backend.answer = ({ token }) => ({ allow: true, user: token === "opaque" ? "eve" : "nobody" });
    const bob = await connectClient(server.url, { token: await server.token({ sub: "bob" }) });
    expect(backend.asked).toEqual([]);
    await bob.close();
    const always = await startServer({ "hook-url": backend.url, "hook-connect": "always" });
    ends.push(() => always.stop());
    const eve = await connectClient(always.url, { token: "opaque" });
    expect(eve.frames[0]).toMatchObject({ user: "eve" });
    await eve.close();
  });
});

describe("many", () => {
  test("[HK-11] a thousand clients that come back at once: few questions at a time, over few connections, and all are served", async () => {
    const { backend, server } = await start({ "hook-concurrency-max": "8", "hook-timeout-ms": "30000" });
    backend.answer = ({ headers }) => ({ allow: true, user: headers?.["cookie"] ?? "" });
    const clients = await Promise.all(
      Array.from({ length: 1000 }, (_, at) => connectClient(server.url, { headers: { cookie: `u${at}` } })),
    );
    expect(clients.map(({ frames: [first] }) => first)).toMatchObject(clients.map((_, at) => ({ user: `u${at}` })));
    expect(backend.atOnceMax).toBeLessThanOrEqual(8 * SUITE.nodes);
    expect(backend.connections).toBeLessThanOrEqual(16 * SUITE.nodes);
    expect(backend.asked).toHaveLength(1000);
    for (const client of clients) client.terminate();
  }, 30_000);

  test("[HK-11] [P4] behind a backend that does not answer some wait, the others are told to come back, and nobody else notices", async () => {
    const { backend, server } = await start({
      "hook-concurrency-max": "4",
      "hook-queue-max": "20",
      "hook-timeout-ms": "1500",
      "channels-publish": "signed-in",
    });
    const ann = await connectClient(server.url, { token: await server.token({ sub: "ann" }) });
    await ann.request({ type: "subscribe", channel: "a" });
    backend.answer = () => "silence";
    const refused = Promise.all(Array.from({ length: 60 }, () => attempt(server)));
    let isOver = false;
    void refused.then(() => (isOver = true));
    for (let n = 0; n < 20; n++) await ann.request({ type: "publish", channel: "a", data: n });
    expect(isOver).toBe(false);
    for (const frame of await refused)
      expect(frame).toMatchObject({ type: "error", code: 201, retry: expect.any(Number) });
    // Those that were given up on may not have been noticed there yet. Nodes do not know of each other's questions.
    expect(backend.atOnceMax).toBeLessThanOrEqual(8 * SUITE.nodes);
    backend.answer = () => ({ allow: true });
    expect(await attempt(server)).toMatchObject({ type: "connected" });
    await ann.close();
  }, 30_000);

  test("[WK-8] two workers ask no more at a time than one server may", async () => {
    const { backend, server } = await start({
      engine: "memory",
      workers: "2",
      "hook-concurrency-max": "4",
      "hook-queue-max": "20",
      "hook-timeout-ms": "30000",
    });
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    backend.answer = () => answered.then(() => ({ allow: true }));
    const attempts = Array.from({ length: 60 }, () => attempt(server));
    const refused: ServerFrame[] = [];
    for (const one of attempts) void one.then((frame) => void (frame.type === "error" && refused.push(frame)));
    // Four are asked and twenty wait, wherever they came; no worker has room for all.
    while (refused.length < 60 - 24 || backend.atOnce < 4) await Bun.sleep(10);
    expect(backend.atOnceMax).toBe(4);
    answer();
    expect((await Promise.all(attempts)).filter(({ type }) => type === "connected")).toHaveLength(24);
    expect(refused).toHaveLength(60 - 24);
  });

  test("[HK-1] connections to the backend are used again, and one that it has closed meanwhile does no harm", async () => {
    const { backend, server } = await start();
    for (let n = 0; n < 20; n++) await attempt(server);
    expect(backend.connections).toBeLessThanOrEqual(PROCESSES);
    for (let n = 0; n < 5; n++) {
      backend.answer = () => ({ status: 200, body: '{"allow":true}', headers: { connection: "close" } });
      expect(await attempt(server)).toMatchObject({ type: "connected" });
    }
  });

  test("[HK-12] an answer that may be remembered is, until its time is over", async () => {
    const { backend, server } = await start();
    backend.answer = () => ({ allow: true, user: "bob", cacheSeconds: 1 });
    for (let n = 0; n < 10; n++) expect(await attempt(server, HEADERS)).toMatchObject({ user: "bob" });
    // Each process remembers what it was told itself.
    expect(backend.asked.length).toBeLessThanOrEqual(PROCESSES);
    const once = backend.asked.length;
    await attempt(server, { ...HEADERS, cookie: "PHPSESSID=other" });
    expect(backend.asked).toHaveLength(once + 1);
    await Bun.sleep(1100);
    await attempt(server, HEADERS);
    expect(backend.asked).toHaveLength(once + 2);
  });
});

describe("channels", () => {
  const HOOKED: Flags = {
    "channels-subscribe": "hook",
    "channels-publish": "hook",
    "channels-presence": "",
    "channels-history": "",
    "hook-connect": "never",
  };

  test("[HK-6] [HK-7] the application lets into a channel, and so to what is to be read of it", async () => {
    const { backend, server } = await start(HOOKED);
    backend.answer = ({ user, channel }) => ({ allow: user === "bob" && channel === "room:1", reason: "members only" });
    const [bob, eve] = await Promise.all(
      ["bob", "eve"].map(async (sub) => connectClient(server.url, { token: await server.token({ sub }) })),
    );
    await bob?.request({ type: "subscribe", channel: "room:1" });
    await bob?.request({ type: "history", channel: "room:1" });
    for (const type of ["subscribe", "history", "presence"] as const) {
      const failure = await eve?.request({ type, channel: "room:1" }).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: 109, message: expect.stringContaining("members only") });
    }
    await Promise.all([bob?.close(), eve?.close()]);
  });

  test("[HK-8] [HK-9] publications under a slow application: changed, in their order, also of a client that does not wait", async () => {
    const { backend, server } = await start({ ...HOOKED, "channels-subscribe": "everybody" });
    let n = 0;
    backend.answer = async ({ data }) => {
      // The later the faster: an order that is not kept would show.
      await Bun.sleep(Math.max(0, 30 - 3 * n++));
      return { allow: true, data: `${String(data)}!` };
    };
    const reader = await connectBare(`${server.url}/raw/a`);
    const writer = await connectBare(`${server.url}/raw/a?client=w`);
    for (let at = 0; at < 20; at++) writer.send(`m${at}`);
    expect(await reader.received(20)).toEqual(Array.from({ length: 20 }, (_, at) => `m${at}!`));
    backend.answer = ({ encoding }) => ({ allow: encoding === "base64" });
    writer.send(new Uint8Array([1, 2, 3]));
    expect((await reader.received(21)).at(-1)).toEqual(Buffer.from([1, 2, 3]));
    writer.send("text");
    expect((await writer.closed).code).toBe(4103);
  });

  test("[HK-8] commands by POST are answered when the application has", async () => {
    const { backend, server } = await start({ ...HOOKED, "channels-subscribe": "everybody" });
    backend.answer = ({ data }) => (data === 2 ? { allow: false } : { allow: true });
    const lines = [1, 2, 3].map((data) => ({ type: "publish", id: data, channel: "a", data }));
    const { replies } = await send(server.url, "", lines);
    expect(replies).toMatchObject([
      { type: "published", id: 1, offset: 1 },
      { type: "error", id: 2, code: 109 },
      { type: "published", id: 3, offset: 2 },
    ]);
    await server.publish("a", 2);
    expect(backend.asked).toHaveLength(3);
  });

  test("[HK-10] a server that stops does not wait for an application that does not answer", async () => {
    const { backend, server } = await start({
      ...HOOKED,
      "channels-subscribe": "everybody",
      "hook-timeout-ms": "60000",
    });
    backend.answer = () => "silence";
    const bob = await connectClient(server.url);
    bob.send({ type: "publish", channel: "a", data: 1 });
    while (backend.asked.length === 0) await Bun.sleep(5);
    await server.stop();
    ends.pop();
    expect((await bob.closed).code).toBe(4200);
  });
});
