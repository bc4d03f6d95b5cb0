/** What a client or backend is told at a limit: each at the bound, and one beyond. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectTcp } from "../../test/support/tcp-client.ts";
import { connectClient } from "../../test/support/ws-client.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startServer({
    "channels-publish": "everybody",
    "subscriptions-max": "3",
    "depth-max": "4",
    "message-bytes-max": "2000",
    "publication-bytes-max": "1000",
    "body-bytes-max": "5000",
    "poll-wait-seconds-max": "2",
    "history-page-max": "5",
  });
});

afterAll(() => server.stop());

/** Arrays in arrays, so many levels. */
function nested(levels: number): unknown {
  return levels === 0 ? 1 : [nested(levels - 1)];
}

/** What is refused says the option; at the bound there is nothing to say. */
function expectNamed(option: string, atBound: unknown, beyond: unknown): void {
  expect([option, JSON.stringify(atBound).includes("error")]).toEqual([option, false]);
  expect(JSON.stringify(beyond)).toContain(option);
}

async function answerOf(path: string, init?: RequestInit): Promise<unknown> {
  const answer = await fetch(`${server.url}${path}`, init);
  return answer.status === 204 ? {} : JSON.parse((await answer.text()).split("\n")[0] ?? "");
}

const PING = '{"type":"ping","id":1}\n';

function line(bytes: number): string {
  return PING.trim().padEnd(bytes);
}

function send(body: string): Promise<unknown> {
  return answerOf("/send", { method: "POST", body });
}

function poll(query: string): Promise<unknown> {
  return answerOf(`/poll?${query}`);
}

async function published(data: unknown): Promise<unknown> {
  return (await server.api("POST", "/api/publish", { channel: "x", data })).body;
}

async function page(limit: number): Promise<unknown> {
  return (await server.api("GET", `/api/channels/x/history?limit=${limit}`)).body;
}

test("[LM-11] subscriptionsMax, depthMax and publicationBytesMax of commands", async () => {
  const [tcpPort] = server.tcpPorts;
  const bob = await connectTcp(tcpPort);
  const replies: unknown[] = [];
  for (const channel of ["a", "b", "c", "d"]) replies.push(await bob.request({ type: "subscribe", channel }));
  expectNamed("subscriptionsMax", replies.slice(0, 3), replies[3]);
  const publish = (data: unknown) => bob.request({ type: "publish", channel: "x", data });
  expectNamed("depthMax", await publish(nested(4)), await publish(nested(5)));
  expectNamed("publicationBytesMax", await publish("a".repeat(998)), await publish("a".repeat(999)));
  expectNamed("subscriptionsMax", await poll("channels=a,b,c&wait=0"), await poll("channels=a,b,c,d&wait=0"));
});

test("[LM-11] messageBytesMax on TCP and by POST", async () => {
  const [tcpPort] = server.tcpPorts;
  const bob = await connectTcp(tcpPort, { connect: false });
  // Ends of lines count (TC-4).
  bob.socket.send(`${line(1999)}\n`);
  expectNamed("messageBytesMax", [await bob.next(), await bob.next()], "messageBytesMax");
  bob.socket.send(`${line(2000)}\n`);
  expect(await bob.next()).toMatchObject({ code: 4207, reason: expect.stringContaining("(messageBytesMax)") });
  expectNamed("messageBytesMax", await send(line(2000)), await send(line(2001)));
});

test("[LM-11] bodyBytesMax and pollWaitSecondsMax of requests of clients", async () => {
  expectNamed("bodyBytesMax", await send(PING.padEnd(5000, "\n")), await send(PING.padEnd(5001, "\n")));
  expectNamed("pollWaitSecondsMax", await poll("channel=a&wait=2"), await poll("channel=a&wait=2.001"));
});

test("[LM-11] limits of the HTTP API", async () => {
  expectNamed("publicationBytesMax", await published("a".repeat(998)), await published("a".repeat(999)));
  expectNamed("depthMax", await published(nested(4)), await published(nested(5)));
  expectNamed("bodyBytesMax", {}, await published("a".repeat(6000)));
  expectNamed("limit", await page(5), await page(6));
});

test("[LM-11] queueBytesMax is in the reason of the goodbye", async () => {
  const other = await startServer({
    "queue-bytes-max": "16384",
    "publication-bytes-max": "8000",
    "message-bytes-max": "8000",
  });
  try {
    const bob = await connectTcp(other.tcpPorts[0]);
    await bob.request({ type: "subscribe", channel: "a" });
    bob.socket.pause();
    const ann = await connectClient(other.url);
    await ann.request({ type: "subscribe", channel: "a" });
    // Until the kernel's buffers are full, and then the budget.
    for (let count = 0; count < 4000; count++) {
      const { body } = await other.api("GET", "/api/stats");
      if ((body as { sessions: number }).sessions < 2) break;
      const batch = Array.from({ length: 100 }, () => ({ channel: "a", data: "x".repeat(7000) }));
      await other.api("POST", "/api/batch", { publications: batch });
    }
    bob.socket.resume();
    const last = (await bob.readAll()).at(-1);
    expect(last).toMatchObject({ type: "disconnect", code: 4201, reason: expect.stringContaining("(queueBytesMax)") });
  } finally {
    await other.stop();
  }
}, 30_000);
