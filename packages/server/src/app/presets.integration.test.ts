/** Presets: plain WebSockets at `/`, on the main port and on one of their own. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BareClient, connectBare } from "../../test/support/bare-client.ts";
import { openSocket, upgradeRequest } from "../../test/support/raw-socket.ts";
import { API_KEY, argumentsOf, type Flags, redisFlags } from "../../test/support/server.ts";
import { freePort } from "../../test/support/server-process.ts";
import { createLogger } from "../base/log.ts";
import { loadConfig } from "../config/load.ts";
import { type RunningGateway, startGateway } from "./serve.ts";

const folder = mkdtempSync(join(tmpdir(), "longwire-test-"));
const running: RunningGateway[] = [];
let gateway: RunningGateway;

/** As `startServer`, which does not tell further ports. */
async function start(flags: Flags): Promise<RunningGateway> {
  const argv = argumentsOf({
    "channels-subscribe": "",
    "data-dir": folder,
    "swoole-port": "0",
    ...(await redisFlags(flags)),
    ...flags,
  });
  const { config } = loadConfig({ argv, env: {}, cwd: folder });
  const gateway = await startGateway(config, createLogger("silent", "json"));
  running.push(gateway);
  return gateway;
}

function swooleOf({ swoolePort }: RunningGateway): string {
  return `http://127.0.0.1:${swoolePort}`;
}

/** Two clients at one address. */
async function pair(url: string): Promise<[BareClient, BareClient]> {
  return [await connectBare(url), await connectBare(url)];
}

async function subscribers(channel: string, count: number): Promise<void> {
  for (let round = 0; round < 1000; round++) {
    const response = await fetch(`${gateway.url}/api/channels/${channel}`, {
      headers: { authorization: `Bearer ${API_KEY}` },
    });
    if (((await response.json()) as { subscribers: number }).subscribers === count) return;
    await Bun.sleep(5);
  }
  throw new Error(`${channel} did not get ${count} subscribers`);
}

afterAll(async () => {
  for (const gateway of running) await gateway.stop();
  rmSync(folder, { recursive: true, force: true });
});

beforeAll(async () => {
  gateway = await start({ presets: "ratchet,swoole" });
});

describe("chats", () => {
  test("[RW-7] ratchet: `/` of the main port, to all but the sender", async () => {
    const [ann, bob] = await pair(gateway.url);
    await subscribers("ratchet:chat", 2);
    ann.send("hello");
    expect(await bob.received(1)).toEqual(["hello"]);
    bob.send(Buffer.from([0, 255]));
    expect(await ann.received(1)).toEqual([Buffer.from([0, 255])]);
    expect(bob.messages).toEqual(["hello"]);
    for (const client of [ann, bob]) await client.close();
  });

  test("[RW-7] swoole: `/` of a port of its own, to all", async () => {
    const [ann, bob] = await pair(swooleOf(gateway));
    await subscribers("swoole:chat", 2);
    ann.send("hello");
    for (const client of [ann, bob]) expect(await client.received(1)).toEqual(["hello"]);
    for (const client of [ann, bob]) await client.close();
  });

  test("[RW-7] a publication reaches them on every port, also where a channel is followed on several", async () => {
    const own = await connectBare(swooleOf(gateway));
    const main = await connectBare(`${gateway.url}/raw/swoole:chat`);
    await subscribers("swoole:chat", 2);
    own.send("from 9501");
    await main.received(1);
    main.send("from 8080");
    for (const client of [own, main]) expect(await client.received(2)).toEqual(["from 9501", "from 8080"]);
    for (const client of [own, main]) await client.close();
  });

  test("[RW-7] the query is that of /raw", async () => {
    const client = await connectBare(`${swooleOf(gateway)}/?channels=other`);
    expect((await client.closed).code).toBe(4104);
    const later = await connectBare(`${swooleOf(gateway)}/?since=earliest`);
    expect((await later.received(1))[0]).toBe("hello");
    await later.close();
  });
});

describe("what else is there", () => {
  test("[RW-7] a page opened there is told what is; everything else is as without presets", async () => {
    for (const [url, channel] of [
      [gateway.url, "ratchet:chat"],
      [swooleOf(gateway), "swoole:chat"],
    ] as const) {
      const answer = await fetch(`${url}/`);
      expect(answer.status).toBe(426);
      expect(await answer.text()).toContain(channel);
    }
    expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${gateway.url}/nothing`)).status).toBe(404);
    expect((await fetch(`${swooleOf(gateway)}/healthz`)).status).toBe(404);
    expect((await fetch(`${swooleOf(gateway)}/api/stats`)).status).toBe(404);
  });

  test("[WS-11] pages of other origins are refused on each port", async () => {
    for (const url of [gateway.url, swooleOf(gateway)]) {
      const port = Number(new URL(url).port);
      const socket = await openSocket(port);
      socket.send(upgradeRequest(port, "/", { Origin: "https://evil.example" }));
      expect((await socket.readResponse()).status).toBe(403);
      socket.destroy();
    }
  });

  test("[RW-7] the namespaces are open, and no other", async () => {
    for (const namespace of ["ratchet", "swoole"]) {
      const writer = await connectBare(`${gateway.url}/raw/${namespace}:other?since=earliest`);
      writer.send("hi");
      const reader = await connectBare(`${gateway.url}/raw/${namespace}:other?since=earliest`);
      expect(await reader.received(1)).toEqual(["hi"]);
      for (const client of [writer, reader]) await client.close();
    }
    const stranger = await connectBare(`${gateway.url}/raw/room:1`);
    expect((await stranger.closed).code).toBe(4302);
  });

  test("[RW-7] what is configured for the namespace goes before the preset", async () => {
    const namespaces = JSON.stringify({ ratchet: { publish: "nobody" }, swoole: { bareEcho: false } });
    const other = await start({ presets: "ratchet,swoole", namespaces });
    const writer = await connectBare(other.url);
    writer.send("hi");
    expect((await writer.closed).code).toBe(4103);
    const [ann, bob] = await pair(`${swooleOf(other)}/?since=earliest`);
    ann.send("from ann");
    await bob.received(1);
    bob.send("from bob");
    expect(await ann.received(1)).toEqual(["from bob"]);
  });

  test("[RW-7] without presets there is neither", async () => {
    const other = await start({});
    expect(other.swoolePort).toBeUndefined();
    expect((await fetch(`${other.url}/`)).status).toBe(404);
    const client = await connectBare(`${other.url}/raw/ratchet:chat`);
    expect((await client.closed).code).toBe(4302);
  });
});

describe("start and stop", () => {
  test("[ST-2] a port in use refuses the start, by its option's name, and leaves nothing running", async () => {
    const taken = String(gateway.swoolePort);
    const port = String(freePort());
    const failure: unknown = await start({ presets: "swoole", port, "swoole-port": taken }).catch(
      (error: unknown) => error,
    );
    expect(String(failure)).toContain(`swoolePort: 127.0.0.1:${taken} is in use`);
    // The main port was open by then, and is free again.
    const next = await start({ port });
    expect(next.url).toEndWith(`:${port}`);
  });

  test("[BY-8] [ST-6] a stop says goodbye on each port, and frees them", async () => {
    const other = await start({ presets: "ratchet,swoole" });
    const addresses = [other.url, swooleOf(other)];
    const clients = await Promise.all(addresses.map((url) => connectBare(url)));
    // A request that never becomes whole must not hold the stop up, nor outlive it.
    const halves = await Promise.all(addresses.map((url) => openSocket(Number(new URL(url).port))));
    for (const half of halves) half.send("GET / HTTP/1.1\r\nHost: ");
    running.splice(running.indexOf(other), 1);
    await other.stop();
    for (const client of clients) expect((await client.closed).code).toBe(4200);
    for (const half of halves) await half.ended;
    for (const url of addresses) {
      expect(await fetch(url).catch(() => "refused")).toBe("refused");
    }
  });

  test("[ST-1] an unknown preset is refused by its name", () => {
    const argv = argumentsOf({ presets: "ratchet,workerman" });
    expect(() => loadConfig({ argv, env: {}, cwd: folder })).toThrow("presets[1]");
  });
});
