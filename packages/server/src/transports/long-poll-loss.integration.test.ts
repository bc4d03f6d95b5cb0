/** Polling under a stream of publications: everything once, in order, whatever the client and the history do. */
import { afterEach, describe, expect, test } from "bun:test";
import { poll, Poller } from "../../test/support/poll-client.ts";
import { PROCESSES, startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient } from "../../test/support/ws-client.ts";

let server: TestServer | undefined;
const pollers: Poller[] = [];

afterEach(async () => {
  await Promise.all(pollers.splice(0).map((poller) => poller.stop()));
  await server?.stop();
  server = undefined;
});

function pollerOf(query: string | (() => string)): Poller {
  if (server === undefined) throw new Error("no server");
  const poller = new Poller(server.url, query);
  pollers.push(poller);
  return poller;
}

/** Publishes `count` publications over the channels, some together and some with a pause before them. */
async function publishAll(at: TestServer, channels: readonly string[], count: number): Promise<void> {
  const left = Array.from({ length: count }, (_, n) => ({ channel: channels[n % channels.length] ?? "", data: n }));
  while (left.length > 0) {
    const publications = left.splice(0, 1 + Math.floor(Math.random() * 20));
    const { status } = await at.api("POST", "/api/batch", { publications });
    if (status !== 200) throw new Error(`the batch was answered ${status}`);
    if (Math.random() < 0.3) await Bun.sleep(Math.random() * 10);
  }
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n + 1);
}

describe.each(["memory", "sqlite"])("[LP-1] nothing is lost and nothing comes twice: %s", (engine) => {
  test("with random waits, aborted polls and several channels", async () => {
    server = await startServer({ engine, "channels-history-size": "10000" });
    const channels = ["a", "b", "c"];
    const clients = Array.from({ length: 6 }, (_, n) =>
      pollerOf(() => `channels=${channels.join(",")}&wait=${(Math.random() * (n % 2 === 0 ? 1 : 0.05)).toFixed(3)}`),
    );
    await Promise.all(clients.map((client) => client.until(() => client.cursor !== "")));
    const published = new AbortController();
    const abort = async (): Promise<void> => {
      while (!published.signal.aborted) {
        // The last two are left alone: nobody may be lost who is not cut either.
        clients[Math.floor(Math.random() * 4)]?.abort();
        await Bun.sleep(Math.random() * 8);
      }
    };
    const aborted = abort();
    await publishAll(server, channels, 3000);
    published.abort();
    await aborted;
    for (const client of clients)
      await client.until(() => channels.every((channel) => client.offsets(channel).at(-1) === 1000));
    for (const client of clients) for (const channel of channels) expect(client.offsets(channel)).toEqual(upTo(1000));
    expect(clients.slice(0, 4).reduce((sum, { aborted: count }) => sum + count, 0)).toBeGreaterThan(10);
  }, 60_000);
});

test("[P2] [LP-1] over a restart of the server and a change to WebSocket and back", async () => {
  server = await startServer({ engine: "sqlite", "channels-history-size": "1000" });
  const { cursor } = await poll(server.url, "channels=a");
  await server.publish("a", 1);
  await server.restart();
  await server.publish("a", 2);
  const second = await poll(server.url, `channels=a&since=${cursor}`);
  expect(second.frames).toMatchObject([{ offset: 1 }, { offset: 2 }]);
  const page = await connectClient(server.url, { query: { channels: "a", since: second.cursor }, connect: false });
  await server.publish("a", 3);
  await page.next((frame) => frame.type === "message");
  expect(page.messages("a").map(({ offset }) => offset)).toEqual([3]);
  page.terminate();
  const third = await poll(server.url, `channels=a&since=${second.cursor}`);
  expect(third.frames).toMatchObject([{ offset: 3 }]);
});

const SMALL = { "queue-bytes-max": "65536", "publication-bytes-max": "65536", "channels-history-size": "1000" };

describe("[LP-4] what does not fit into one answer comes with the next", () => {
  test("what was missed", async () => {
    server = await startServer(SMALL);
    const first = await poll(server.url, "channels=a,b");
    const text = "x".repeat(10_000);
    for (let n = 0; n < 20; n++) for (const channel of ["a", "b"]) await server.publish(channel, text);
    // With its envelope, this one does not even fit alone.
    await server.publish("a", "y".repeat(65_530));
    const seen: Record<string, number[]> = { a: [], b: [] };
    let { cursor } = first;
    let polls = 0;
    while ((seen["a"]?.length ?? 0) + (seen["b"]?.length ?? 0) < 41) {
      const { frames, cursor: next } = await poll(server.url, `channels=a,b&since=${cursor}`);
      const bytes = JSON.stringify(frames).length;
      expect(frames.length === 1 || bytes <= 65_536).toBe(true);
      for (const frame of frames) if (frame.type === "message") seen[frame.channel ?? ""]?.push(frame.offset ?? 0);
      cursor = next;
      polls++;
    }
    expect(seen).toEqual({ a: upTo(21), b: upTo(20) });
    expect(polls).toBeGreaterThan(8);
  });

  test("what comes while it waits, all of it in one turn", async () => {
    server = await startServer(SMALL);
    const client = pollerOf("channels=a,b");
    await client.until(() => client.cursor !== "");
    const publications = Array.from({ length: 40 }, (_, n) => ({
      channel: n % 2 === 0 ? "a" : "b",
      data: "x".repeat(10_000),
    }));
    for (let round = 0; round < 3; round++) await server.api("POST", "/api/batch", { publications });
    await client.until(() => client.offsets("a").at(-1) === 60 && client.offsets("b").at(-1) === 60);
    for (const channel of ["a", "b"]) expect(client.offsets(channel)).toEqual(upTo(60));
    // Nobody is slow who takes all he is given, but a poll that others keep from being open.
    if (PROCESSES === 1) expect(client.slow).toBe(0);
    expect(client.frames.filter(({ type }) => type === "disconnect")).toEqual([]);
  });
});

test("[RE-5] where the history is trimmed between two polls, `recovered: false` is told once for each hole", async () => {
  server = await startServer({ "channels-history-size": "10" });
  const client = pollerOf("channels=a,b&wait=0.2");
  await client.until(() => client.cursor !== "");
  for (let round = 1; round <= 3; round++) {
    await client.stop();
    const { cursor } = client;
    for (let n = 0; n < 30; n++) await server.publish("a", n);
    await server.publish("b", "kept");
    const late = await poll(server.url, `channels=a,b&since=${cursor}`);
    const told = late.frames.filter(({ type }) => type === "subscribed");
    expect(told).toMatchObject([{ channel: "a", offset: round * 30, recovered: false }]);
    const next = await poll(server.url, `channels=a,b&since=${late.cursor}&wait=0`);
    // Of the other channel nothing is missing; it came with the first answer, or comes with this one.
    const ofB = [...late.frames, ...next.frames].filter((frame) => frame.type === "message");
    expect(ofB).toMatchObject([{ channel: "b", offset: round }]);
    client.cursor = next.cursor;
  }
});

test("[SU-3] another epoch is told as `recovered: false`, and the next cursor is of that epoch", async () => {
  server = await startServer({ engine: "memory" });
  const { cursor } = await poll(server.url, "channels=a");
  await server.publish("a", 1);
  // In memory nothing is left of the channel after a restart.
  await server.restart();
  await server.publish("a", "another first");
  const { frames, cursor: next } = await poll(server.url, `channels=a&since=${cursor}`);
  expect(frames).toMatchObject([{ type: "subscribed", channel: "a", offset: 1, recovered: false }]);
  await server.publish("a", 2);
  expect((await poll(server.url, `channels=a&since=${next}`)).frames).toMatchObject([{ offset: 2 }]);
});

test("[IN-7] somebody who polls only now and then finds the personal channel's inbox in the answers", async () => {
  server = await startServer();
  const token = await server.token({ sub: "bob" });
  await server.api("POST", "/api/publish", { user: "bob", data: "while away" });
  const first = await poll(server.url, `token=${token}`);
  expect(first.frames.filter(({ type }) => type === "message")).toMatchObject([
    { channel: "@bob", data: "while away" },
  ]);
  const acked = await fetch(`${server.url}/send?token=${token}`, {
    method: "POST",
    body: JSON.stringify({ type: "ack", channel: "@bob", offset: 1, id: 1 }),
  });
  expect(await acked.json()).toMatchObject({ type: "acked", id: 1 });
  expect((await poll(server.url, `token=${token}&quiet=true&wait=0`)).frames).toEqual([]);
});
