/** P1, P2 and P3 with real processes and a real network between them: connections are cut, the server is killed. */
import { afterEach, expect, test } from "bun:test";
import { type Channel, Client, type Message } from "@longwire/client";
import { Random } from "@longwire/protocol/test/random";
import { connectClient } from "longwire/test/ws-client";
import { freePort, type ServerProcess, spawnServer } from "longwire/test/server-process";
import { startProxy } from "./support/cutting-proxy.ts";
import { Roamer } from "./support/roamer.ts";
import { until } from "./support/wait.ts";
import { WANDERED, Wanderer } from "./support/wanderer.ts";

const QUICK = { backoff: { minMs: 5, maxMs: 100 }, resetOn: "open" } as const;

let server: ServerProcess;
const clients: Client[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.disconnect();
  await server.remove();
});

/** What a page sees of a channel. */
interface Reader {
  readonly client: Client;
  readonly channel: Channel<number>;
  readonly offsets: number[];
  readonly data: number[];
  readonly epochs: Set<string>;
  /** How often the stream could not be continued. */
  breaks: number;
}

function read(url: string, name: string): Reader {
  const client = new Client(`${url.replace("http", "ws")}/ws`, QUICK);
  clients.push(client);
  const channel = client.channel<number>(name);
  const reader: Reader = { client, channel, offsets: [], data: [], epochs: new Set(), breaks: 0 };
  channel.on("message", ({ offset, data }: Message<number>) => {
    reader.offsets.push(offset ?? 0);
    reader.data.push(data);
  });
  channel.on("subscribed", ({ recovered, position }) => {
    reader.epochs.add(position.epoch);
    if (!recovered) reader.breaks++;
  });
  channel.subscribe();
  client.connect();
  return reader;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1);

test("[P1] [P2] [P3] 50 readers whose connections are cut at random see 20,000 publications of 3 publishers once and in order", async () => {
  const COUNT = 20_000;
  server = await spawnServer({ "channels-history-size": String(COUNT), "recovery-max": String(COUNT) });
  const proxy = startProxy(Number(new URL(server.url).port));
  const readers = Array.from({ length: 50 }, () => read(proxy.url, "a"));
  await until("all are subscribed", () => readers.every(({ epochs }) => epochs.size > 0));

  const numbers = upTo(COUNT);
  const publisher = async (): Promise<void> => {
    for (;;) {
      const batch = numbers.splice(0, 20).map((data) => ({ channel: "a", data }));
      if (batch.length === 0) return;
      const { status } = await server.api("POST", "/api/batch", { publications: batch });
      expect(status).toBe(200);
    }
  };
  const cutting = setInterval(() => proxy.cut(0.05), 20);
  await Promise.all([publisher(), publisher(), publisher()]);
  clearInterval(cutting);

  await until("everybody has everything", () => readers.every(({ offsets }) => offsets.at(-1) === COUNT));
  const wanted = upTo(COUNT);
  for (const { offsets, data, breaks } of readers) {
    expect(offsets).toEqual(wanted);
    expect(breaks).toBe(0);
    expect(data.toSorted((a, b) => a - b)).toEqual(wanted);
  }
  // All see the same order, and the test did what it says.
  for (const { data } of readers) expect(data).toEqual(readers[0]?.data ?? []);
  expect(proxy.cuts).toBeGreaterThan(50);
  proxy.stop();
}, 180_000);

test("[EN-12] [P2] the server killed while 10,000 messages are published: what was acknowledged reaches everybody, once, in the same epoch", async () => {
  const COUNT = 10_000;
  server = await spawnServer({ "channels-history-size": "20000", "recovery-max": "20000" });
  const readers = Array.from({ length: 5 }, () => read(server.url, "a"));
  await until("all are subscribed", () => readers.every(({ epochs }) => epochs.size > 0));

  const acknowledged = new Map<number, number>();
  let next = 0;
  const publisher = async (): Promise<void> => {
    while (next < COUNT) {
      const data = ++next;
      // A publisher that got no answer says it again with the same key until it gets one.
      for (;;) {
        const result = await server.publish("a", data, { key: `k${data}` }).catch(() => undefined);
        if (result !== undefined) {
          acknowledged.set(data, result.offset);
          break;
        }
        await Bun.sleep(20);
      }
    }
  };
  const publishers = Promise.all(upTo(16).map(() => publisher()));
  for (const share of [0.25, 0.5, 0.75]) {
    await until("some are published", () => acknowledged.size >= COUNT * share);
    server.kill("SIGKILL");
    await server.exited;
    await server.start();
  }
  await publishers;
  await until("everybody has everything", () => readers.every(({ offsets }) => offsets.at(-1) === COUNT));

  for (const { offsets, data, breaks, epochs } of readers) {
    expect(offsets).toEqual(upTo(COUNT));
    expect(data.toSorted((a, b) => a - b)).toEqual(upTo(COUNT));
    expect([breaks, epochs.size]).toEqual([0, 1]);
    for (const [number, offset] of acknowledged) expect(data[offset - 1]).toBe(number);
  }
}, 180_000);

test("[P2] [P3] [OW-4] readers that come back on another transport each time, cut at random, the server killed: nothing lost, nothing twice, in order", async () => {
  const COUNT = 4000;
  const CHANNELS = ["a", "b"];
  const tcpPort = freePort();
  server = await spawnServer({
    "tcp-port": String(tcpPort),
    "channels-history-size": "20000",
    "recovery-max": "20000",
  });
  const web = startProxy(Number(new URL(server.url).port));
  const tcp = startProxy(tcpPort);
  const target = { url: web.url, tcpPort: Number(new URL(tcp.url).port) };
  const roamers = upTo(20).map((n) => new Roamer({ target, channels: CHANNELS, random: new Random(n) }));
  await until("all are subscribed", () => roamers.every(({ isSubscribed }) => isSubscribed));

  let published = 0;
  const publishing = Promise.all(
    CHANNELS.map(async (channel) => {
      for (let data = 1; data <= COUNT; data += 10) {
        const publications = upTo(10).map((n) => ({ channel, data: data + n - 1, key: `k${data + n - 1}` }));
        // What got no answer is said again, with the same keys, until it gets one.
        while (!(await isAccepted(publications))) await Bun.sleep(20);
        published += 10;
        // Slowly enough for many changes.
        await Bun.sleep(2);
      }
    }),
  );
  const cutting = setInterval(() => {
    web.cut(0.02);
    tcp.cut(0.02);
  }, 20);
  for (const share of [0.3, 0.6]) {
    await until("some are published", () => published >= COUNT * CHANNELS.length * share);
    server.kill("SIGKILL");
    await server.exited;
    await server.start();
  }
  await publishing;
  clearInterval(cutting);
  await until("everybody has everything", () =>
    roamers.every(({ positions }) => CHANNELS.every((channel) => positions.get(channel)?.offset === COUNT)),
  );
  for (const roamer of roamers) {
    await roamer.stop();
    for (const channel of CHANNELS) {
      expect(roamer.offsets.get(channel)).toEqual(upTo(COUNT));
      expect(roamer.data.get(channel)).toEqual(upTo(COUNT));
    }
    expect(roamer.breaks).toBe(0);
  }
  // The test did what it says.
  const visits = new Map<string, number>();
  for (const roamer of roamers)
    for (const [name, count] of roamer.visits) visits.set(name, (visits.get(name) ?? 0) + count);
  expect(visits.size).toBe(10);
  for (const count of visits.values()) expect(count).toBeGreaterThan(20);
  web.stop();
  tcp.stop();
}, 180_000);

async function isAccepted(publications: readonly object[]): Promise<boolean> {
  const answer = await server.api("POST", "/api/batch", { publications }).catch(() => undefined);
  if (answer?.status !== 200) return false;
  return (answer.body as { results: object[] }).results.every((result) => !("error" in result));
}

test("[P2] [P3] [OW-4] pages that come back on another transport each time, cut at random: nothing lost, nothing twice, in order", async () => {
  const COUNT = 3000;
  server = await spawnServer({ "channels-history-size": "20000", "recovery-max": "20000" });
  const proxy = startProxy(Number(new URL(server.url).port));
  const pages = upTo(8).map((n) => new Wanderer({ url: proxy.url, channel: "a", random: new Random(n) }));
  await until("all are subscribed", () => pages.every(({ wasSubscribed }) => wasSubscribed));
  const cutting = setInterval(() => proxy.cut(0.02), 20);
  for (let data = 1; data <= COUNT; data += 10) {
    const publications = upTo(10).map((n) => ({ channel: "a", data: data + n - 1 }));
    expect((await server.api("POST", "/api/batch", { publications })).status).toBe(200);
    await Bun.sleep(5);
  }
  clearInterval(cutting);
  await until("everybody has everything", () => pages.every(({ offsets }) => offsets.at(-1) === COUNT));
  for (const page of pages) {
    await page.stop();
    expect(page.offsets).toEqual(upTo(COUNT));
    expect(page.visits).toEqual(new Set(WANDERED));
  }
  proxy.stop();
}, 180_000);

test("[RE-5] a reader that comes back after its history is gone is told, with the new position", async () => {
  server = await spawnServer({ "channels-history-size": "10" });
  const proxy = startProxy(Number(new URL(server.url).port));
  const reader = read(proxy.url, "a");
  await until("it is subscribed", () => reader.epochs.size > 0);
  await server.publish("a", 1);
  await until("it has the first", () => reader.offsets.length === 1);
  proxy.stop();
  for (let n = 2; n <= 50; n++) await server.publish("a", n);

  const back = startProxy(Number(new URL(server.url).port));
  const again = new Client(`${back.url.replace("http", "ws")}/ws`, QUICK);
  clients.push(again);
  const { position } = reader.channel;
  if (position === undefined) throw new Error("the reader has no position");
  const told: unknown[] = [];
  const channel = again.channel<number>("a", { since: position });
  channel.on("subscribed", (subscribed) => told.push(subscribed));
  channel.subscribe();
  again.connect();
  await until("it is subscribed again", () => told.length === 1);
  expect(told).toEqual([{ position: { epoch: position.epoch, offset: 50 }, recovered: false }]);
  back.stop();
});

test("[IN-7] a message to somebody offline arrives at the first page ever opened, and only there", async () => {
  server = await spawnServer();
  const answer = await server.publish("@bob", "hello");
  expect(answer).toMatchObject({ online: false, subscribers: 0 });
  server.kill("SIGKILL");
  await server.exited;
  await server.start();

  const token = await server.token({ sub: "bob" });
  const open = (): { client: Client; got: unknown[] } => {
    const client = new Client(`${server.url.replace("http", "ws")}/ws`, { ...QUICK, token });
    clients.push(client);
    const got: unknown[] = [];
    client.channel("@bob").on("message", ({ data }) => got.push(data));
    client.connect();
    return { client, got };
  };
  const first = open();
  await until("the first page has it", () => first.got.length > 0);
  // The SDK acknowledges a moment after handing over; then it is delivered to no other page.
  await until("it is acknowledged", async () => {
    const probe = await connectClient(server.url, { token });
    await Bun.sleep(100);
    const seen = probe.messages("@bob").length;
    await probe.close();
    return seen === 0;
  });
  first.client.disconnect();
  const second = open();
  await until("the second page is connected", () => second.client.state.status === "connected");
  await server.publish("@bob", "again");
  await until("the second page has the next", () => second.got.includes("again"));
  expect(first.got).toEqual(["hello"]);
  expect(second.got).toEqual(["again"]);
});

test("[PR-5] a page is left for another and comes back: nothing is missed, nobody saw it leave", async () => {
  server = await spawnServer();
  const watcher = await connectClient(server.url);
  await watcher.request({ type: "subscribe", channel: "a", events: true });
  const token = await server.token({ sub: "bob" });
  const stored = new Map<string, string>();
  const storage = {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => void stored.set(key, value),
    removeItem: (key: string) => void stored.delete(key),
  };
  const offsets: number[] = [];
  const page = async (): Promise<Client> => {
    const client = new Client(`${server.url.replace("http", "ws")}/ws`, {
      ...QUICK,
      token,
      persist: "session",
      storage: { session: storage, local: storage },
    });
    clients.push(client);
    const channel = client.channel("a", { presence: true });
    channel.on("message", ({ offset }) => offsets.push(offset ?? 0));
    channel.subscribe();
    client.connect();
    await until("the page is subscribed", () => channel.state.status === "subscribed");
    return client;
  };
  for (let turn = 0; turn < 3; turn++) {
    const client = await page();
    await server.publish("a", "here");
    await until("the page has it", () => offsets.length === 2 * turn + 1);
    client.disconnect();
    await server.publish("a", "between the pages");
  }
  await page();
  await until("nothing is missed", () => offsets.length === 6);
  expect(offsets).toEqual(upTo(6));
  await Bun.sleep(3500);
  expect(watcher.frames.filter(({ type }) => type === "join" || type === "leave").map(({ type }) => type)).toEqual([
    "join",
  ]);
}, 60_000);
