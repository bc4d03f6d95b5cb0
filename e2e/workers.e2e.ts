/** Several workers as a user has them: the commands as they are typed, and pages that stay while workers come and go. */
import { afterEach, expect, test } from "bun:test";
import { Client, type Message } from "@longwire/client";
import { freePort, type ServerProcess, spawnServer } from "longwire/test/server-process";
import { workersOf } from "longwire/test/workers";
import { connectClient } from "longwire/test/ws-client";
import { makeClone } from "./support/fresh-clone.ts";
import { until } from "./support/wait.ts";

let server: ServerProcess | undefined;
const clients: Client[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.disconnect();
  await server?.remove();
  server = undefined;
});

test("[A-4] [WK-1] [WK-5] `npm start -- --workers 2`, the lines that it prints, `npx longwire reload`, Ctrl-C", async () => {
  const port = freePort();
  const clone = makeClone({ LONGWIRE_PORT: String(port), LONGWIRE_TCP_PORT: "off" });
  const running = clone.start("npm start -- --workers 2 --log-format json");
  try {
    await until("the lines to paste are there", () => running.output().includes("publish:"));
    const url = `http://127.0.0.1:${port}`;
    expect(running.output()).toContain(`chat:     open ${url}/demo in two windows`);
    expect(running.output()).toContain('"workers":2');
    // Once, though every worker knows them.
    expect(running.output().split("publish:")).toHaveLength(2);
    expect((await fetch(`${url}/demo`)).status).toBe(200);
    const listeners = await Promise.all(Array.from({ length: 8 }, () => connectClient(url)));
    for (const one of listeners) await one.request({ type: "subscribe", channel: "demo:lobby" });
    const [, line = ""] = /publish: {2}(.*)/.exec(running.output()) ?? [];
    expect(JSON.parse(await clone.run(line))).toMatchObject({ results: [{ channel: "demo:lobby", offset: 1 }] });
    for (const one of listeners)
      expect((await one.received("demo:lobby", 1))[0]?.data).toMatchObject({ text: "hello" });
    expect(await clone.run("npx longwire reload")).toMatch(/^replaced 2 of 2 workers of the server \d+\n$/);
    for (const one of listeners) expect((await one.closed).code).toBe(4200);
    expect(JSON.parse(await clone.run(line))).toMatchObject({ results: [{ offset: 2 }] });
  } finally {
    await running.stop();
    clone.remove();
  }
  expect(running.output().match(/"msg":"stopped"/g)).toHaveLength(5);
  expect(await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => "nobody")).toBe("nobody");
}, 120_000);

test("[P1] [P2] [P3] [WK-3] [WK-5] 30 pages see 5,000 publications once and in order while workers are killed and replaced", async () => {
  const COUNT = 5000;
  const running = await spawnServer({
    workers: "2",
    "channels-history-size": String(COUNT),
    "recovery-max": String(COUNT),
  });
  server = running;
  const seen = Array.from({ length: 30 }, () => follow(running.url));
  await until("all are subscribed", () => seen.every(({ subscribed }) => subscribed > 0));
  let next = 0;
  const publisher = async (): Promise<void> => {
    while (next < COUNT) {
      const data = ++next;
      // What got no answer is said again with the same key until it gets one.
      while (
        !(await running.publish("a", data, { key: `k${data}` }).then(
          () => true,
          () => false,
        ))
      )
        await Bun.sleep(10);
    }
  };
  const publishing = Promise.all(Array.from({ length: 8 }, publisher));
  for (const share of [0.2, 0.5]) {
    await until("some are published", () => next > COUNT * share);
    await until("there are two workers", () => workersOf(running).length === 2);
    process.kill(workersOf(running)[0] ?? 0, "SIGKILL");
  }
  await until("some are published", () => next > COUNT * 0.7);
  const main = new URL("../packages/server/src/cli/main.ts", import.meta.url).pathname;
  const reload = Bun.spawn([process.execPath, main, "reload", "--data-dir", running.dataDir], { stdout: "ignore" });
  await publishing;
  expect(await reload.exited).toBe(0);
  await until("everybody has everything", () => seen.every(({ data }) => data.length >= COUNT));
  for (const { offsets, data, breaks } of seen) {
    expect(offsets).toEqual(Array.from({ length: COUNT }, (_, index) => index + 1));
    expect(data.toSorted((a, b) => a - b)).toEqual(offsets);
    expect(breaks).toBe(0);
  }
}, 180_000);

interface Seen {
  readonly offsets: number[];
  readonly data: number[];
  subscribed: number;
  /** How often the stream could not be continued. */
  breaks: number;
}

function follow(url: string): Seen {
  const client = new Client(`${url.replace("http", "ws")}/ws`, { backoff: { minMs: 5, maxMs: 100 } });
  clients.push(client);
  const seen: Seen = { offsets: [], data: [], subscribed: 0, breaks: 0 };
  const channel = client.channel<number>("a");
  channel.on("message", ({ offset, data }: Message<number>) => {
    seen.offsets.push(offset ?? 0);
    seen.data.push(data);
  });
  channel.on("subscribed", ({ recovered }) => {
    seen.subscribed++;
    if (!recovered) seen.breaks++;
  });
  channel.subscribe();
  client.connect();
  return seen;
}
