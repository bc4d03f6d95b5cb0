/**
 * Chaos for a longer time: the server is killed again and again, the network is cut all the time, publishers repeat what was not
 * answered, pages come and go, readers come back on another transport each time. In the end every page that stayed and every reader has
 * every publication of every channel once and in order, and every user has every message of the inbox once.
 */
import { afterAll, expect, test } from "bun:test";
import { Client } from "@longwire/client";
import { Random } from "@longwire/protocol/test/random";
import { freePort, type ServerProcess, spawnServer } from "longwire/test/server-process";
import { startProxy } from "./support/cutting-proxy.ts";
import { Roamer } from "./support/roamer.ts";
import { until } from "./support/wait.ts";

const FULL = process.env["LONGWIRE_SLOW"] === "full";
const SEED = Number(process.env["LONGWIRE_SEED"] ?? 1);
const RUN_MS = FULL ? 8 * 60_000 : 45_000;
const CHANNELS = ["a", "b", "c"];
const USERS = ["ann", "bob", "eve"];
const READERS = 20;
const ROAMERS = 12;
/** Some pages keep to one transport, the others choose for themselves. */
const TRANSPORTS = [undefined, ["websocket"], ["stream"], ["poll"]] as const;
const QUICK = { backoff: { minMs: 5, maxMs: 200 }, resetOn: "open", queueTimeoutMs: RUN_MS } as const;

let server: ServerProcess;
afterAll(() => server.remove());

/** What one page was handed, by channel. */
interface Page {
  readonly client: Client;
  readonly got: Map<string, number[]>;
  readonly offsets: Map<string, number[]>;
  breaks: number;
}

async function openPage(
  url: string,
  user: string | undefined,
  channels: readonly string[],
  transports: (typeof TRANSPORTS)[number],
): Promise<Page> {
  const token = user === undefined ? undefined : await server.token({ sub: user });
  const client = new Client(`${url.replace("http", "ws")}/ws`, {
    ...QUICK,
    ...(token !== undefined && { token }),
    ...(transports !== undefined && { transports }),
  });
  const page: Page = { client, got: new Map(), offsets: new Map(), breaks: 0 };
  for (const name of user === undefined ? channels : [...channels, `@${user}`]) {
    const channel = client.channel<number>(name);
    page.got.set(name, []);
    page.offsets.set(name, []);
    channel.on("message", ({ data, offset = 0 }) => {
      page.got.get(name)?.push(data);
      page.offsets.get(name)?.push(offset);
    });
    channel.on("subscribed", ({ recovered }) => {
      if (!recovered) page.breaks++;
    });
    if (!name.startsWith("@")) channel.subscribe();
  }
  client.connect();
  // The promise begins with the first subscription.
  await Promise.all([...page.got.keys()].map((name) => client.channel(name).ready()));
  return page;
}

/** Publishes 1, 2, 3, … to a channel until told to stop; each until it is acknowledged. Resolves to how many. */
async function publishTo(channel: string, isOver: () => boolean): Promise<number> {
  let number = 0;
  while (!isOver()) {
    number++;
    const key = `${channel}-${number}`;
    for (;;) {
      const done = await server.publish(channel, number, { key }).catch(() => undefined);
      if (done !== undefined) break;
      await Bun.sleep(10);
    }
    await Bun.sleep(channel.startsWith("@") ? 20 : 1);
  }
  return number;
}

test("[P1] [P2] [P3] nothing is lost and nothing doubled while everything that can break breaks", async () => {
  const random = new Random(SEED);
  const tcpPort = freePort();
  server = await spawnServer({
    "tcp-port": String(tcpPort),
    "channels-history-size": "1000000",
    "channels-history-seconds": "3600",
    "recovery-max": "1000000",
    namespaces: JSON.stringify({ "@": { historySize: 1_000_000 } }),
  });
  const proxy = startProxy(Number(new URL(server.url).port));
  const tcp = startProxy(tcpPort);
  const pages = await Promise.all(
    Array.from({ length: READERS }, (_, n) =>
      openPage(proxy.url, USERS[n], CHANNELS, TRANSPORTS[n % TRANSPORTS.length]),
    ),
  );
  const target = { url: proxy.url, tcpPort: Number(new URL(tcp.url).port) };
  const roamers = Array.from(
    { length: ROAMERS },
    (_, n) => new Roamer({ target, channels: CHANNELS, random: new Random(SEED * 1000 + n), stayMsMax: 2000 }),
  );
  await until("all roamers are subscribed", () => roamers.every(({ isSubscribed }) => isSubscribed));

  let over = false;
  const cutting = setInterval(() => {
    for (const way of [proxy, tcp]) way.cut(0.03, () => random.below(1000) / 1000);
  }, 25);
  const publishing = Promise.all(
    [...CHANNELS, ...USERS.map((user) => `@${user}`)].map((channel) => publishTo(channel, () => over)),
  );
  const deadline = Date.now() + RUN_MS;
  let kills = 0;
  while (Date.now() < deadline) {
    await Bun.sleep(1000 + random.below(4000));
    server.kill(random.chance(80) ? "SIGKILL" : "SIGTERM");
    await server.exited;
    await server.start();
    kills++;
  }
  over = true;
  const counts = await publishing;
  clearInterval(cutting);

  const totals = new Map(
    [...CHANNELS, ...USERS.map((user) => `@${user}`)].map((channel, n) => [channel, counts[n] ?? 0]),
  );
  await until("everybody has everything", () =>
    pages.every(({ got }) => [...got].every(([channel, data]) => data.length >= (totals.get(channel) ?? 0))),
  );
  await until("every roamer has everything", () =>
    roamers.every(({ positions }) =>
      CHANNELS.every((channel) => (positions.get(channel)?.offset ?? 0) >= (totals.get(channel) ?? 0)),
    ),
  );
  for (const roamer of roamers) {
    await roamer.stop();
    for (const channel of CHANNELS) {
      const wanted = Array.from({ length: totals.get(channel) ?? 0 }, (_, n) => n + 1);
      expect([channel, roamer.data.get(channel)]).toEqual([channel, wanted]);
      expect([channel, roamer.offsets.get(channel)]).toEqual([channel, wanted]);
    }
    expect(roamer.breaks).toBe(0);
  }
  for (const { client, got, offsets, breaks } of pages) {
    for (const [channel, data] of got) {
      const wanted = Array.from({ length: totals.get(channel) ?? 0 }, (_, n) => n + 1);
      expect([channel, data]).toEqual([channel, wanted]);
      expect([channel, offsets.get(channel)]).toEqual([channel, wanted]);
    }
    expect(breaks).toBe(0);
    client.disconnect();
  }
  expect(kills).toBeGreaterThan(5);
  proxy.stop();
  tcp.stop();
  process.stdout.write(
    `seed ${SEED}: ${kills} kills, ${proxy.cuts} cuts, ${counts.reduce((a, b) => a + b, 0)} publications\n`,
  );
});
