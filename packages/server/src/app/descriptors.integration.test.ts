/** A server that runs out of descriptors: a process of its own, under `ulimit -n 200`. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { leftOut } from "../../test/support/one-process.ts";
import { type ServerProcess, spawnServer } from "../../test/support/server-process.ts";
import { connectClient } from "../../test/support/ws-client.ts";
import { freePort } from "../../test/support/server-process.ts";
import { connectTcp } from "../../test/support/tcp-client.ts";

let server: ServerProcess;
let tcpPort = 0;
const WAIT_MS = 60_000;

beforeAll(async () => {
  tcpPort = freePort();
  server = await spawnServer({
    engine: "memory",
    "tcp-port": String(tcpPort),
    "request-seconds": "4",
    "channels-publish": "everybody",
    descriptors: "200",
  });
});

afterAll(() => server.remove());

/** Processor time that the server has used, in ticks of 10 ms. */
function ticks(): number {
  const fields = readFileSync(`/proc/${server.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

interface Knock {
  readonly socket: Socket;
  /** Resolves when it is closed or refused. */
  readonly over: Promise<void>;
}

/** A connection that begins a request and says no more. */
function knock(port: number): Promise<Knock> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const over = new Promise<void>((done) => socket.once("close", () => done()));
    socket.on("error", () => undefined);
    socket.once("connect", () => socket.write("GET / HT"));
    socket.once("connect", () => resolve({ socket, over }));
    void over.then(() => resolve({ socket, over }));
  });
}

async function attempt(): Promise<number | "refused"> {
  const signal = AbortSignal.timeout(5000);
  return await fetch(`${server.url}/healthz`, { signal, keepalive: false }).then(
    ({ status }) => status,
    (error: Error) => {
      if (error.name === "TimeoutError") throw new Error("a client hangs");
      return "refused";
    },
  );
}

test.skipIf(leftOut("descriptors"))(
  "[LM-2] silent connections beyond all descriptors: nothing spins, nobody hangs, those connected get everything, and it goes on by itself",
  async () => {
    expect(server.output()).toMatch(/"descriptors":200/);
    expect(server.output()).toMatch(/"connectionsMax":136/);
    const paying = await connectClient(server.url);
    await paying.request({ type: "subscribe", channel: "news" });
    const wired = await connectTcp(tcpPort);
    await wired.request({ type: "subscribe", channel: "news" });
    // The backend keeps its connection.
    await server.publish("news", 0);

    const knocks = await Promise.all(Array.from({ length: 400 }, () => knock(Number(new URL(server.url).port))));
    for (let round = 0; !server.output().includes("accepts nobody") && round < 100; round++) await Bun.sleep(50);
    expect(server.output()).toContain("accepts nobody");

    // No new client waits for an answer that does not come: each is refused, or served.
    const answers = await Promise.all(Array.from({ length: 5 }, attempt));
    expect(answers).toContain("refused");
    const before = ticks();
    await Bun.sleep(1000);
    // A spinning loop uses 100 of them.
    const spent = ticks() - before;
    expect(spent).toBeLessThan(50);
    paying.send({ type: "publish", channel: "news", data: 1 });
    for (let data = 2; data <= 20; data++) wired.send({ type: "publish", channel: "news", data });
    for (let round = 0; paying.messages("news").length < 20 && round < 200; round++) await Bun.sleep(20);
    expect(paying.messages("news").length).toBeGreaterThanOrEqual(20);

    // The half requests end in time, and with them the pause.
    await Promise.all(knocks.map(({ over }) => over));
    for (let round = 0; !server.output().includes("accepts again") && round < 200; round++) await Bun.sleep(50);
    expect(server.output()).toContain("accepts again");
    expect(await attempt()).toBe(200);
    await (await connectTcp(tcpPort)).request({ type: "subscribe", channel: "news" });
    await (await connectClient(server.url)).request({ type: "subscribe", channel: "news" });
    expect(server.output().match(/accepts nobody/g)?.length).toBeLessThan(10);
  },
  WAIT_MS,
);

test.skipIf(leftOut("descriptors"))(
  "[LM-1] clients up to the mark are taken, one more is answered 503 with Retry-After, by TCP in a frame; a place that is free is given",
  async () => {
    const { body } = await server.api("GET", "/api/stats");
    const { sessions } = body as { sessions: number };
    const taken = await Promise.all(Array.from({ length: 136 - sessions }, () => connectClient(server.url)));
    const refused = await fetch(`${server.url}/stream?channel=a`);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused.headers.get("connection")).toBe("close");
    expect(await refused.json()).toEqual({
      error: {
        code: 4205,
        message: expect.stringContaining("at most 136 connections (connectionsMax)"),
        after: 10_000,
      },
    });
    const late = await connectTcp(tcpPort, { connect: false });
    const [frame] = await late.readAll();
    expect(frame).toMatchObject({ type: "disconnect", code: 4205, reconnect: true, after: 10_000 });
    await server.publish("a", "backends go on");
    taken[0]?.terminate();
    for (let round = 0; round < 100; round++) {
      const again = await connectClient(server.url).catch(() => undefined);
      if (again !== undefined) return;
      await Bun.sleep(50);
    }
    throw new Error("the free place was not given");
  },
  WAIT_MS,
);
