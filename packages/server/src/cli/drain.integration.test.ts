/** A server with a thousand clients that is asked to stop: a process of its own, clients over every transport. */
import { afterEach, expect, test } from "bun:test";
import type { Peer } from "../../test/support/peer/peer.ts";
import { KINDS, type Target, WEBSOCKET } from "../../test/support/peer/transports.ts";
import type { Flags } from "../../test/support/server.ts";
import { freePort, type ServerProcess, spawnServer } from "../../test/support/server-process.ts";

const EACH = 200;
const DRAIN_SECONDS = 10;
/** What a slow machine may add to what is promised. */
const PATIENCE_MS = 20_000;

let server: ServerProcess | undefined;
afterEach(async () => {
  await server?.remove();
  server = undefined;
});

async function start(flags: Flags = {}): Promise<{ server: ServerProcess; target: Target }> {
  const tcpPort = freePort();
  server = await spawnServer({
    "tcp-port": String(tcpPort),
    "drain-seconds": String(DRAIN_SECONDS),
    "channels-publish": "everybody",
    "channels-history-size": "100000",
    "recovery-max": "100000",
    "queue-bytes-max": String(64 * 1024 ** 2),
    ...flags,
  });
  return { server, target: { url: server.url, tcpPort } };
}

async function crowd(target: Target, each: number): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (let at = 0; at < each; at += 20) {
    const some = KINDS.flatMap((kind) =>
      Array.from({ length: 20 }, () => kind.open(target, { subscribe: [{ channel: "news" }] })),
    );
    peers.push(...(await Promise.all(some)));
  }
  return peers;
}

/** Publishes by every way until that is refused or cut off; the data of what was acknowledged. */
async function publishUntilOver(running: ServerProcess, target: Target): Promise<() => Promise<string[]>> {
  const acknowledged: string[] = [];
  const overs: Promise<void>[] = [];
  for (let lane = 0; lane < 4; lane++) {
    const run = async (): Promise<void> => {
      for (let count = 0; ; count++) {
        const data = `http ${lane} ${count}`;
        const isKept = await running.publish("kept", data).then(
          () => true,
          () => false,
        );
        if (!isKept) return;
        acknowledged.push(data);
        await Bun.sleep(1);
      }
    };
    overs.push(run());
  }
  const peer = await WEBSOCKET.open(target, {});
  const say = async (): Promise<void> => {
    for (let count = 0; !peer.isEnded; count++) {
      const data = `socket ${count}`;
      const reply = WEBSOCKET.say(target, peer, { type: "publish", channel: "kept", data }).catch(() => undefined);
      const answer = await Promise.race([reply, peer.untilEnded().catch(() => undefined)]);
      if (typeof answer === "object" && answer.type === "published") acknowledged.push(data);
      if (peer.goodbye !== undefined) return;
      await Bun.sleep(1);
    }
  };
  overs.push(say());
  return async () => {
    await Promise.all(overs);
    return acknowledged;
  };
}

test("[ST-6] [ST-9] [ST-10] a thousand clients are told once each, with times spread; nothing acknowledged is lost; exit 0 in time", async () => {
  const { server: running, target } = await start();
  const peers = await crowd(target, EACH);
  expect(peers).toHaveLength(EACH * KINDS.length);
  const published = await publishUntilOver(running, target);
  await Bun.sleep(300);
  const began = performance.now();
  running.kill("SIGTERM");
  expect(await running.exited).toBe(0);
  expect(performance.now() - began).toBeLessThan(DRAIN_SECONDS * 1000 + PATIENCE_MS);
  const acknowledged = await published();
  for (const peer of peers) await peer.untilEnded();
  const after: number[] = [];
  for (const peer of peers) {
    const goodbyes = peer.frames.filter(({ type }) => type === "disconnect");
    expect(goodbyes).toMatchObject([{ code: 4200, reconnect: true, after: expect.any(Number) }]);
    after.push(peer.goodbye?.after ?? 0);
  }
  // Spread over the whole span: no tenth of it has more than a quarter of them.
  const span = Math.max(...after) + 1;
  for (let tenth = 0; tenth < 10; tenth++) {
    const share = after.filter((ms) => Math.floor((ms * 10) / span) === tenth).length;
    expect(share).toBeLessThan(after.length / 4);
  }
  expect(acknowledged.some((data) => data.startsWith("http"))).toBeTrue();
  expect(acknowledged.some((data) => data.startsWith("socket"))).toBeTrue();
  await running.start();
  const reader = await WEBSOCKET.open(target, { subscribe: [{ channel: "kept", since: "earliest" }] });
  await running.publish("kept", "the end");
  await reader.until("everything", () => reader.messages("kept").at(-1)?.data === "the end");
  const kept = new Set(reader.messages("kept").map(({ data }) => data));
  expect(acknowledged.filter((data) => !kept.has(data))).toEqual([]);
}, 120_000);

test("[ST-11] a second signal waits for nobody, and what was acknowledged is kept", async () => {
  const { server: running, target } = await start();
  // It never reads its goodbye, and would be waited for.
  const stuck = await WEBSOCKET.open(target, { subscribe: [{ channel: "news" }] });
  stuck.pause();
  const data = "x".repeat(1_000_000);
  for (let count = 0; count < 20; count++) await running.publish("news", data);
  await running.publish("kept", "last words");
  running.kill("SIGTERM");
  // One sooner than that is the same signal by another way.
  await Bun.sleep(700);
  const began = performance.now();
  running.kill("SIGTERM");
  expect(await running.exited).toBe(0);
  expect(performance.now() - began).toBeLessThan((DRAIN_SECONDS * 1000) / 2);
  expect(running.output()).toContain('"stopped"');
  stuck.drop();
  await running.start();
  const { body } = await running.api("GET", "/api/channels/kept/history?since=earliest");
  expect(body).toMatchObject({ publications: [{ data: "last words" }] });
}, 60_000);

test("[ST-12] with leaveSeconds it is not ready any more, and goes on as usual; a second signal waits for that neither", async () => {
  const { server: running, target } = await start({ "leave-seconds": "600" });
  running.kill("SIGTERM");
  const status = async (): Promise<number> => (await fetch(`${running.url}/readyz`)).status;
  while ((await status()) !== 503) await Bun.sleep(10);
  const bob = await WEBSOCKET.open(target, { subscribe: [{ channel: "news" }] });
  await running.publish("news", "still here");
  expect(await bob.next("message")).toMatchObject({ data: "still here" });
  await Bun.sleep(600);
  running.kill("SIGTERM");
  expect(await running.exited).toBe(0);
  expect(bob.goodbye).toMatchObject({ code: 4200 });
});
