/**
 * Real proxies with the files of deploy/proxies, which docs/transports.md shows. The heartbeats of the server are ten minutes apart: whatever a
 * proxy held back would not arrive within a test.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Client, type WebSocketConstructor } from "@longwire/client";
import { inflating } from "@longwire/client/compress";
import { EventSource } from "eventsource";
import { startServer, type TestServer } from "longwire/test/server";
import { openCurl, runCurl } from "./support/curl.ts";
import { type Proxy, PROXY_NAMES, type ProxyName, startProxy } from "./support/proxies.ts";
import { until } from "./support/wait.ts";

const HEARTBEAT_MS = 600_000;
/** What a proxy's buffers might wait for: many small ones, and a large one. */
const PAYLOADS = ["first", "second", "x".repeat(6000), "last"] as const;
const WAYS = [[], ["--compressed"], ["--http1.1"], ["--http1.1", "--compressed"]] as const;
const PUBLISHING = { "channels-publish": "everybody", "ping-interval-ms": String(HEARTBEAT_MS) };

/** The compression that many turn on. HAProxy then obeys the `no-transform` of these answers; the others compress. */
const COMPRESSING: Readonly<Record<ProxyName, string>> = {
  nginx: "gzip on; gzip_proxied any; gzip_min_length 0; gzip_types *;",
  apache: "SetOutputFilter DEFLATE",
  haproxy: "compression algo gzip\n  compression type text/event-stream application/x-ndjson application/json",
  caddy: "",
};

let server: TestServer;
/** Does not compress by itself, so that a proxy may. */
let plainServer: TestServer;
/** With heartbeats that come soon. */
let lively: TestServer;
const proxies: Proxy[] = [];
let lastChannel = 0;
const newChannel = (): string => `room-${++lastChannel}`;

beforeAll(async () => {
  server = await startServer(PUBLISHING);
  plainServer = await startServer({ ...PUBLISHING, compression: "false" });
  lively = await startServer({ "ping-interval-ms": "1000" });
});

afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await Promise.all([server.stop(), plainServer.stop(), lively.stop()]);
});

async function start(name: ProxyName, target: TestServer, prelude?: string): Promise<Proxy> {
  const proxy = await startProxy(name, { http: target.url, tcp: target.tcpPorts[0] ?? 0 }, prelude);
  proxies.push(proxy);
  return proxy;
}

async function subscribers(of: TestServer, channel: string): Promise<number> {
  const { body } = await of.api("GET", `/api/channels/${channel}`);
  return (body as { subscribers?: number }).subscribers ?? 0;
}

/** Publishes one after the other, each when the one before has arrived. */
async function expectEachAtOnce(target: TestServer, path: string, args: readonly string[]): Promise<void> {
  const channel = newChannel();
  const stream = openCurl([...args, path.replace("CHANNEL", channel)]);
  await stream.subscribed();
  for (const [at, text] of PAYLOADS.entries()) {
    await target.publish(channel, text);
    await stream.received(at + 1);
  }
  expect(stream.data()).toEqual([...PAYLOADS]);
  await stream.stop();
}

async function expectEachPolled(target: TestServer, url: string, args: readonly string[]): Promise<void> {
  const channel = newChannel();
  const poll = async (query: string): Promise<{ cursor: string; frames: { type: string; data?: unknown }[] }> =>
    JSON.parse(await runCurl([...args, `${url}/poll?channel=${channel}${query}`])) as never;
  let { cursor } = await poll("&wait=0");
  for (const text of PAYLOADS) {
    const answer = poll(`&wait=50&since=${cursor}`);
    await until("the poll waits", async () => (await subscribers(target, channel)) === 1);
    await target.publish(channel, text);
    const { cursor: next, frames } = await answer;
    expect(frames).toMatchObject([{ type: "message", data: text }]);
    cursor = next;
  }
}

/** The runtime's WebSocket, trusting the test's certificate. */
function webSocketTrusting(path: string): WebSocketConstructor {
  const ca = readFileSync(path, "utf8");
  // The runtime's class takes options, which the browser's does not.
  const Runtime = WebSocket as unknown as new (url: string, options: object) => WebSocket;
  return class extends Runtime {
    constructor(url: string) {
      super(url, { tls: { ca } });
    }
  };
}

function eventSourceTrusting(path: string): (url: string) => EventSource {
  const ca = readFileSync(path, "utf8");
  return (url) =>
    new EventSource(url, { fetch: (target, init) => fetch(target, { ...init, tls: { ca } } as RequestInit) });
}

for (const name of PROXY_NAMES) {
  describe(name, () => {
    let proxy: Proxy;
    let trust: readonly string[];
    beforeAll(async () => {
      proxy = await start(name, server);
      trust = ["--cacert", proxy.certificate];
    });

    test.each([
      ["[OW-11] an event stream", "/sse/CHANNEL"],
      ["[OW-11] an HTTP stream", "/stream?channel=CHANNEL"],
    ])("%s brings each publication when it is published", async (_, path) => {
      await Promise.all(WAYS.map((way) => expectEachAtOnce(server, `${proxy.url}${path}`, [...trust, ...way])));
    });

    test("[LP-2] a long poll is answered with each publication when it is published", async () => {
      await Promise.all(WAYS.map((way) => expectEachPolled(server, proxy.url, [...trust, ...way])));
    });

    test("[OW-11] nor is it held back where the proxy compresses what Longwire does not", async () => {
      const compressing = await start(name, plainServer, COMPRESSING[name]);
      const args = ["--cacert", compressing.certificate, "--compressed"];
      await Promise.all([
        expectEachAtOnce(plainServer, `${compressing.url}/sse/CHANNEL`, args),
        expectEachAtOnce(plainServer, `${compressing.url}/stream?channel=CHANNEL`, args),
        expectEachPolled(plainServer, compressing.url, args),
      ]);
    });

    test("[SD-3] commands of clients on one-way transports", async () => {
      const command = JSON.stringify({ type: "publish", channel: newChannel(), data: 1, id: 1 });
      const reply = await runCurl([...trust, "--data-binary", command, `${proxy.url}/send`]);
      expect(JSON.parse(reply)).toMatchObject({ type: "published", id: 1, offset: 1 });
    });

    test("[WS-1] a WebSocket, both ways, compressed or not, and what it missed while it was away", async () => {
      const channel = newChannel();
      const Plain = webSocketTrusting(proxy.certificate);
      for (const Socket of [Plain, inflating(Plain)]) {
        const found: unknown[] = [];
        const client = new Client(proxy.url, { transports: ["websocket"], WebSocket: Socket });
        const room = client.channel<string>(Socket === Plain ? channel : newChannel());
        room.on("message", ({ data }) => found.push(data));
        client.connect();
        await room.subscribe().ready();
        await room.publish("from the client");
        await until("its own", () => found.length === 1);
        client.disconnect();
        await until("it is gone", async () => (await subscribers(server, room.name)) === 0);
        for (const text of PAYLOADS) await server.publish(room.name, text);
        client.connect();
        await until("what it missed", () => found.length === 5);
        expect(found).toEqual(["from the client", ...PAYLOADS]);
        client.disconnect();
      }
    });

    test("[ES-5] a client cut by the proxy's restart comes back and misses nothing", async () => {
      const channel = newChannel();
      const source = eventSourceTrusting(proxy.certificate)(`${proxy.url}/sse/${channel}?frames=data`);
      const found: string[] = [];
      source.addEventListener("message", ({ data }) => found.push(data as string));
      await until("it is open", () => source.readyState === source.OPEN);
      await server.publish(channel, "before");
      await until("the first", () => found.length === 1);
      const restarted = proxy.restart();
      await server.publish(channel, "meanwhile");
      await restarted;
      await server.publish(channel, "after");
      await until("the others", () => found.length >= 3);
      expect(found).toEqual(["before", "meanwhile", "after"]);
      source.close();
    });

    test("[OW-5] whoever comes back with the cursor gets what it missed, once, on whatever transport", async () => {
      const channel = newChannel();
      const first = openCurl([...trust, `${proxy.url}/sse/${channel}`]);
      await first.subscribed();
      await server.publish(channel, 1);
      await first.received(1);
      await until("the cursor", () => first.cursor() !== "");
      await first.stop();
      await server.publish(channel, 2);
      const since = first.cursor();
      const poll = await runCurl([...trust, `${proxy.url}/poll?channel=${channel}&since=${since}`]);
      expect(JSON.parse(poll)).toMatchObject({ frames: [{ type: "message", data: 2 }] });
      const stream = openCurl([...trust, `${proxy.url}/stream?channel=${channel}&since=${since}`]);
      await server.publish(channel, 3);
      expect(await stream.received(2)).toEqual([2, 3]);
      await stream.stop();
    });

    test("[OW-8] a client that goes away ends its session", async () => {
      // These learn of it when they have something to hand on: the next heartbeat, or the poll's answer.
      const waits = name === "apache" || name === "haproxy";
      const target = waits ? lively : server;
      const through = waits ? await start(name, lively) : proxy;
      const channel = newChannel();
      const own = ["--cacert", through.certificate];
      for (const way of [[], ["--http1.1"]]) {
        const poll = `/poll?channel=${channel}&quiet=true&wait=${waits ? 2 : 50}`;
        for (const path of [`/sse/${channel}`, `/stream?channel=${channel}`, poll]) {
          const stream = openCurl([...own, ...way, `${through.url}${path}`]);
          await until("it is here", async () => (await subscribers(target, channel)) === 1);
          await stream.stop();
          await until(
            `${path} ${way.join(" ")} is gone`,
            async () => (await subscribers(target, channel)) === 0,
            20_000,
          );
        }
      }
    });

    test("the HTTP API is closed to the world", async () => {
      expect(await runCurl([...trust, "-o", "/dev/null", "-w", "%{http_code}", `${proxy.url}/api/stats`])).toBe("403");
    });
  });
}

test("[TC-1] raw TCP over TLS through HAProxy", async () => {
  const proxy = await start("haproxy", server);
  const channel = newChannel();
  const command = JSON.stringify({ type: "subscribe", channel });
  const address = `OPENSSL:127.0.0.1:${proxy.tcpPort},cafile=${proxy.certificate}`;
  const child = Bun.spawn(["socat", "-", address], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  let output = "";
  void (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) output += decoder.decode(chunk, { stream: true });
  })();
  await child.stdin.write(`${command}\n`);
  await child.stdin.flush();
  await until("subscribed", () => output.includes('"subscribed"'));
  await server.publish(channel, "to a device");
  await until("the publication", () => output.includes('"to a device"'));
  child.kill();
  // A client that closes its side may still read: that it does not is found out with what is sent to it.
  await until("it is gone", async () => {
    await server.publish(channel, "anybody there?");
    return (await subscribers(server, channel)) === 0;
  });
});
