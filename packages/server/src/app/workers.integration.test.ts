/** Several processes on the same ports, as their user starts them: who serves, what happens when one dies, and what when all are to go. */
import { afterEach, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { connect as connectTls } from "node:tls";
import { certificateFolder, type CertificateFiles, makeCertificate } from "../../test/support/certificates.ts";
import { connectBare } from "../../test/support/bare-client.ts";
import type { Flags } from "../../test/support/server.ts";
import { openWebSocket } from "../../test/support/raw-socket.ts";
import { startRedis } from "../../test/support/redis.ts";
import { freePort, type ServerProcess, spawnServer } from "../../test/support/server-process.ts";
import { connectTcp } from "../../test/support/tcp-client.ts";
import { entriesOf, markOf, until, workersOf } from "../../test/support/workers.ts";
import { connectClient, type TestClient } from "../../test/support/ws-client.ts";

let server: ServerProcess;
const clients: TestClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.terminate();
  await server.remove();
});

async function start(flags: Flags = {}): Promise<void> {
  server = await spawnServer({ engine: "memory", workers: "2", "channels-publish": "everybody", ...flags });
  // The first worker may answer before the last one is ready.
  await until("all are ready", () => entriesOf(server, "listening").length === 1);
}

async function client(): Promise<TestClient> {
  const one = await connectClient(server.url);
  clients.push(one);
  return one;
}

/** One client of each worker. */
async function oneOfEach(workers = 2): Promise<TestClient[]> {
  const found = new Map<string, TestClient>();
  // One that has just been started may not be listening yet.
  await until("every worker has a client", async () => {
    const one = await client();
    if (found.has(markOf(one.session))) one.terminate();
    else found.set(markOf(one.session), one);
    return found.size === workers;
  });
  return [...found.values()];
}

/** Asks for something on a connection of its own: what was answered, or how it failed. */
function attempt(port: number): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    });
    socket.on("data", (bytes: Buffer) => (answer += bytes.toString()));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on("end", () => resolve(answer.startsWith("HTTP/1.1 200") ? "ok" : `cut: ${answer.slice(0, 20)}`));
  });
}

function countOf(outcomes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

const portOf = ({ url }: ServerProcess): number => Number(new URL(url).port);

/** The name in the certificate that is shown to a new connection. */
function nameShown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

/** `longwire reload` of this server. */
async function reload(...more: string[]): Promise<{ status: number; out: string; error: string }> {
  const main = join(import.meta.dir, "../cli/main.ts");
  const command = [process.execPath, main, "reload", "--data-dir", server.dataDir, ...more];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", env: { PATH: process.env["PATH"] } });
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { status: await child.exited, out, error };
}

/** Whether somebody listens. */
const isTaken = (port: number): Promise<boolean> => attempt(port).then((outcome) => outcome !== "ECONNREFUSED");

describe("[WK-1] two workers", () => {
  test("share every port, and what is published to one reaches the clients of both", async () => {
    const [tcpPort, textPort, swoolePort] = [freePort(), freePort(), freePort()];
    const listeners = JSON.stringify([{ port: textPort, framing: "text", channel: "lines" }]);
    await start({
      "tcp-port": String(tcpPort),
      "tcp-listeners": listeners,
      presets: "swoole",
      "swoole-port": String(swoolePort),
    });
    expect(workersOf(server)).toHaveLength(2);
    const both = await oneOfEach();
    for (const one of both) await one.request({ type: "subscribe", channel: "news" });
    const sent = [];
    for (let count = 1; count <= 20; count++) sent.push((await server.publish("news", count)).offset);
    expect(sent).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    for (const one of both) {
      await one.next((frame) => frame.type === "message" && frame.offset === 20);
      expect(one.messages("news").map(({ data }) => data)).toEqual(sent);
    }

    const marks = new Set<string>();
    const seen: string[] = [];
    for (let tries = 0; marks.size < 2 && tries < 100; tries++) {
      const tcp = await connectTcp(tcpPort);
      const connected = tcp.frames.find(({ type }) => type === "connected");
      if (connected?.type === "connected") marks.add(markOf(connected.session));
      seen.push(String(connected?.type));
      tcp.socket.destroy();
    }
    expect(marks.size).toBe(2);
    expect(new Set(seen)).toEqual(new Set(["connected"]));

    const swoole = await Promise.all(Array.from({ length: 20 }, () => connectBare(`ws://127.0.0.1:${swoolePort}/`)));
    swoole[0]?.send("to all");
    for (const one of swoole) {
      expect(await one.received(1)).toEqual(["to all"]);
      one.terminate();
    }
    expect(await isTaken(textPort)).toBeTrue();
    const listening = entriesOf(server, "listening");
    expect(listening).toMatchObject([{ workers: 2, swoolePort, tcp: [{ port: tcpPort }, { port: textPort }] }]);
  });

  test("speak TLS with the same certificate, and after SIGHUP both with the new one", async () => {
    const { folder, remove } = certificateFolder();
    try {
      const [first, second] = [makeCertificate(folder, "first"), makeCertificate(folder, "second")];
      const files = { cert: join(folder, "own.crt"), key: join(folder, "own.key") };
      const put = (from: CertificateFiles): void => {
        copyFileSync(from.cert, files.cert);
        copyFileSync(from.key, files.key);
      };
      put(first);
      await start({ "tls-cert": files.cert, "tls-key": files.key });
      const names = async (): Promise<Set<string>> =>
        new Set(await Promise.all(Array.from({ length: 30 }, () => nameShown(portOf(server)))));
      expect(await names()).toEqual(new Set(["first"]));
      put(second);
      server.kill("SIGHUP");
      await until("it has taken the files over", () => entriesOf(server, "reloaded").length === 1);
      expect(await names()).toEqual(new Set(["second"]));
      expect(entriesOf(server, "reloaded")).toMatchObject([{ changed: [], restart: [] }]);
      // The sockets are still those of the supervisor: what replaces a worker gets them with their clients.
      for (const pid of workersOf(server)) process.kill(pid, "SIGKILL");
      expect(await names()).toEqual(new Set(["second"]));
    } finally {
      remove();
    }
  });

  test("with Redis each goes there itself; one that dies or is replaced changes nothing for the others", async () => {
    const redis = await startRedis();
    try {
      await start({ engine: "redis", "redis-urls": redis.url });
      const both = await oneOfEach();
      for (const one of both) await one.request({ type: "subscribe", channel: "news" });
      await server.publish("news", 1);
      const [victim = 0] = workersOf(server);
      process.kill(victim, "SIGKILL");
      await Promise.race(both.map(({ closed }) => closed));
      const { offset } = await server.publish("news", 2);
      expect(offset).toBe(2);
      await oneOfEach();
      expect(await reload()).toMatchObject({ status: 0, error: "" });
      for (const one of both) await one.closed;
      const back = await client();
      await back.request({ type: "subscribe", channel: "news", since: "earliest" });
      await back.next((frame) => frame.type === "message" && frame.offset === 2);
      expect(back.messages("news").map(({ data }) => data)).toEqual([1, 2]);
    } finally {
      await redis.stop();
    }
  }, 60_000);

  test("[RD-9] what keeps one worker from starting is the server's reason, and no worker is left", async () => {
    await start();
    const failure = await spawnServer({ workers: "2", engine: "redis", "redis-urls": "redis://127.0.0.1:1" }).then(
      () => "it has started",
      String,
    );
    expect(failure).toContain("the server ended with 1");
    expect(failure).toContain("longwire serve: ");
    expect(failure).not.toContain("    at ");
  }, 30_000);

  test("[WK-8] each has its share of what is configured for the server", async () => {
    await start({ "connections-max": "9" });
    expect(entriesOf(server, "listening")).toMatchObject([{ connectionsMax: 10 }]);
    const outcomes = await Promise.allSettled(Array.from({ length: 60 }, client));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(10);
  });
});

/** Starts it and expects that it says why it cannot. */
async function refused(flags: Flags, reason: string): Promise<void> {
  const failure: unknown = await start({ ...flags }).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(String(failure)).toContain("the server ended with 1");
  expect(String(failure)).toContain(reason);
  expect(String(failure)).not.toContain("    at ");
}

describe("what keeps it from starting", () => {
  test("[WK-2] a port in use, also where its owner would share it; nothing is left", async () => {
    const owner = Bun.serve({ hostname: "127.0.0.1", port: 0, reusePort: true, fetch: () => new Response("") });
    const port = freePort();
    await start();
    try {
      const dataDir = join(server.dataDir, "own");
      mkdirSync(dataDir);
      const tcp = { port: String(port), "tcp-port": String(owner.port), "data-dir": dataDir };
      await refused(tcp, `tcpPort: 127.0.0.1:${owner.port} is in use by another program`);
      expect(await isTaken(port)).toBeFalse();
    } finally {
      await owner.stop(true);
    }
  });

  test("[WK-11] [ST-2] a second one on the same data", async () => {
    await start();
    await refused({ "data-dir": server.dataDir }, "another Longwire is running on the data folder");
    await server.publish("news", "still here");
  });

  test("[ST-3] what a worker alone finds out is said as by one process", async () => {
    await start();
    const listeners = JSON.stringify([{ port: 0, framing: "./no-such-module.ts", channel: "x" }]);
    await refused({ "tcp-listeners": listeners }, "tcpListeners[0].framing");
  });
});

describe("[WK-3] a worker that dies", () => {
  test("is replaced at once; nobody who knocks meanwhile is refused, and its clients come back to what they missed", async () => {
    await start({ engine: "sqlite" });
    const both = await oneOfEach();
    for (const one of both) await one.request({ type: "subscribe", channel: "news" });
    await server.publish("news", 1);
    for (const one of both) await one.next(({ type }) => type === "message");
    const [victim = 0] = workersOf(server);
    const attempts: Promise<string>[] = [];
    for (let count = 0; count < 300; count++) {
      attempts.push(attempt(portOf(server)));
      if (count === 60) process.kill(victim, "SIGKILL");
      if (count % 10 === 0) await Bun.sleep(2);
    }
    const outcomes = countOf(await Promise.all(attempts));
    // Who had been accepted by it is cut off with it; who came later is not refused.
    const { ok = 0, ECONNRESET = 0, "cut: ": cut = 0 } = outcomes;
    expect(ok + ECONNRESET + cut).toBe(300);
    expect(ECONNRESET + cut).toBeLessThan(30);
    const lost = await Promise.race(both.map((one) => one.closed.then(() => one)));
    await server.publish("news", 2);
    const back = await client();
    const epoch = lost.frames.find((frame) => frame.type === "subscribed")?.epoch ?? "";
    await back.request({ type: "subscribe", channel: "news", since: { epoch, offset: 1 } });
    expect(await back.next(({ type }) => type === "message")).toMatchObject({ offset: 2, data: 2 });
    await until("there are two again", () => workersOf(server).length === 2);
    await oneOfEach();
    expect(entriesOf(server, "worker died")).toMatchObject([{ pid: victim, how: "SIGKILL", replacedInMs: 0 }]);
  });

  test("again and again is replaced after pauses that grow, and from the second on the others have everybody", async () => {
    await start();
    const [stays = 0] = workersOf(server);
    const deaths = (): Record<string, unknown>[] => entriesOf(server, "worker died");
    for (let count = 1; count <= 4; count++) {
      await until("there is one to kill", () => workersOf(server).length === 2);
      const victim = workersOf(server).find((pid) => pid !== stays) ?? 0;
      process.kill(victim, "SIGKILL");
      await until("its death is told", () => deaths().length === count);
    }
    expect(deaths().map(({ replacedInMs }) => replacedInMs)).toEqual([0, 100, 200, 400]);
    // Its socket is shut: everybody comes to the other one, at once.
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => attempt(portOf(server))));
    expect(countOf(outcomes)).toEqual({ ok: 100 });
    await until("it is there again", () => workersOf(server).length === 2);
    await oneOfEach();
  });

  test("[WK-4] without dying, because it stands still, is killed and replaced", async () => {
    await start();
    const both = await oneOfEach();
    const [victim = 0] = workersOf(server);
    process.kill(victim, "SIGSTOP");
    await until("it is replaced", () => workersOf(server).length === 2 && !workersOf(server).includes(victim));
    expect(entriesOf(server, "worker died")).toMatchObject([{ pid: victim, how: "SIGKILL" }]);
    expect(String(entriesOf(server, "worker died")[0]?.["reason"])).toContain("answer");
    await Promise.race(both.map(({ closed }) => closed));
    await oneOfEach();
  }, 60_000);

  test("[WK-12] by SIGTERM alone goes in order, when another is in its place", async () => {
    await start();
    const both = await oneOfEach();
    const [victim = 0] = workersOf(server);
    process.kill(victim, "SIGTERM");
    const gone = await Promise.race(both.map((one) => one.closed.then(() => one)));
    expect(gone.frames.filter(({ type }) => type === "disconnect")).toMatchObject([{ code: 4200 }]);
    await until("it has gone", () => !workersOf(server).includes(victim));
    expect(workersOf(server)).toHaveLength(2);
    expect(entriesOf(server, "worker replaced")).toHaveLength(1);
    expect(entriesOf(server, "worker died")).toEqual([]);
  });
});

describe("[WK-5] longwire reload", () => {
  test("under a stream of new connections: none is refused or reset, and each client is told once to come back", async () => {
    await start({ engine: "sqlite" });
    const before = workersOf(server);
    const early = await Promise.all(Array.from({ length: 40 }, client));
    const outcomes: Promise<string>[] = [];
    const over = new AbortController();
    const knocking = (async () => {
      while (!over.signal.aborted) {
        outcomes.push(attempt(portOf(server)));
        await Bun.sleep(2);
      }
    })();
    const published: number[] = [];
    const publishing = (async () => {
      while (!over.signal.aborted) published.push((await server.publish("news", published.length)).offset);
    })();
    const { status, out, error } = await reload();
    expect({ status, error }).toEqual({ status: 0, error: "" });
    expect(out).toBe(`replaced 2 of 2 workers of the server ${server.pid}\n`);
    over.abort();
    await Promise.all([knocking, publishing]);
    const counted = countOf(await Promise.all(outcomes));
    expect(counted).toEqual({ ok: outcomes.length });
    expect(outcomes.length).toBeGreaterThan(100);
    expect(published).toEqual(Array.from({ length: published.length }, (_, index) => index + 1));
    for (const one of early) {
      await one.closed;
      expect(one.frames.filter(({ type }) => type === "disconnect")).toMatchObject([{ code: 4200, reconnect: true }]);
    }
    const after = workersOf(server);
    expect(after).toHaveLength(2);
    expect(after.filter((pid) => before.includes(pid))).toEqual([]);
    expect(entriesOf(server, "worker died")).toEqual([]);
  }, 60_000);

  test("[WK-10] reads the configuration anew; where it is wrong or settled, everything stays as it was", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "longwire-reload-")), "longwire.toml");
    writeFileSync(file, "messageBytesMax = 1000\n");
    await start({ config: file, "connections-max": "" });
    const before = workersOf(server);
    writeFileSync(file, "messageBytesMax = 2000\nloopLagMsMaximum = 7\n");
    expect(await reload()).toMatchObject({ status: 1, error: expect.stringContaining("loopLagMsMaximum") });
    writeFileSync(file, 'messageBytesMax = 2000\npresets = ["ratchet"]\n');
    expect(await reload()).toMatchObject({ status: 1, error: expect.stringContaining("presets: settled") });
    expect(workersOf(server)).toEqual(before);
    const long = { type: "publish", channel: "news", data: "x".repeat(1500) };
    const old = await client();
    old.send(long);
    expect(await old.closed).toMatchObject({ code: expect.any(Number) });
    writeFileSync(file, "messageBytesMax = 2000\n");
    expect(await reload()).toMatchObject({ status: 0 });
    const next = await client();
    expect(await next.request(long as { type: "publish"; channel: string; data: string })).toMatchObject({
      type: "published",
    });
    rmSync(dirname(file), { recursive: true, force: true });
  }, 60_000);

  test("where a new worker does not become ready the old one stays, and the command says why", async () => {
    await start();
    const before = workersOf(server);
    const asked = reload();
    // Each new one is killed before it can be ready.
    await until("there is a new one", () => workersOf(server).length === 3);
    const next = workersOf(server).find((pid) => !before.includes(pid)) ?? 0;
    process.kill(next, "SIGKILL");
    const { status, out, error } = await asked;
    expect({ status, out }).toEqual({ status: 1, out: "" });
    expect(error).toContain("worker 1 stays as it was: worker 1 ended before it was ready: SIGKILL");
    expect(workersOf(server)).toEqual(before);
    await oneOfEach();
  });

  test("says that there is none where none runs", async () => {
    await start({ workers: "1", engine: "sqlite" });
    expect(await reload()).toMatchObject({
      status: 1,
      error: expect.stringContaining("no server with several workers runs on the data folder"),
    });
  });
});

describe("the end", () => {
  test("[WK-6] SIGTERM stops all in order, with 0, and leaves nothing behind", async () => {
    await start({ engine: "sqlite" });
    const both = await oneOfEach();
    await server.publish("news", "kept");
    const pids = workersOf(server);
    const { socket } = JSON.parse(readFileSync(join(server.dataDir, "supervisor.lock"), "utf8")) as { socket: string };
    expect(existsSync(socket)).toBeTrue();
    server.kill("SIGTERM");
    expect(await server.exited).toBe(0);
    for (const one of both) {
      await one.closed;
      expect(one.frames.filter(({ type }) => type === "disconnect")).toMatchObject([{ code: 4200 }]);
    }
    for (const pid of pids) expect(existsSync(`/proc/${pid}`)).toBeFalse();
    expect(existsSync(dirname(socket))).toBeFalse();
    expect(entriesOf(server, "stopped")).toHaveLength(3);
    await server.start();
    const { body } = await server.api("GET", "/api/channels/news/history?since=earliest");
    expect(body).toMatchObject({ publications: [{ data: "kept" }] });
  });

  test("[WK-6] while clients go, nobody waits for a server that takes nobody any more", async () => {
    await start({ "drain-seconds": "30" });
    // They never read their goodbye, and are waited for.
    const stuck = await Promise.all(
      Array.from({ length: 8 }, () => openWebSocket(portOf(server), "/ws?channels=news")),
    );
    for (const one of stuck) one.pause();
    const data = "x".repeat(500_000);
    for (let count = 0; count < 10; count++) await server.publish("news", data);
    server.kill("SIGTERM");
    await until("it is going", () => entriesOf(server, "stopping").length === 3);
    await until("nobody is taken", async () => (await attempt(portOf(server))) === "ECONNREFUSED");
    expect(countOf(await Promise.all(Array.from({ length: 50 }, () => attempt(portOf(server)))))).toEqual({
      ECONNREFUSED: 50,
    });
    expect(workersOf(server).length).toBeGreaterThan(0);
    for (const one of stuck) one.destroy();
    expect(await server.exited).toBe(0);
  }, 60_000);

  test("[WK-6] Ctrl-C reaches the workers too, and is one signal", async () => {
    await start();
    await oneOfEach();
    for (const pid of [...workersOf(server), server.pid]) process.kill(pid, "SIGINT");
    expect(await server.exited).toBe(0);
    expect(entriesOf(server, "stopped")).toHaveLength(3);
  });

  test("[WK-6] [ST-11] a second signal waits for nobody", async () => {
    await start({ "leave-seconds": "600" });
    await oneOfEach();
    server.kill("SIGTERM");
    await until("it is going", () => entriesOf(server, "stopping").length === 3);
    await Bun.sleep(600);
    server.kill("SIGTERM");
    expect(await server.exited).toBe(0);
  });

  test("[WK-7] kill -9 of the supervisor ends its workers, one that stands still too, and frees ports and data", async () => {
    await start({ engine: "sqlite" });
    const [one] = await oneOfEach();
    const pids = workersOf(server);
    const { socket } = JSON.parse(readFileSync(join(server.dataDir, "supervisor.lock"), "utf8")) as { socket: string };
    process.kill(pids[0] ?? 0, "SIGSTOP");
    server.kill("SIGKILL");
    await server.exited;
    await one?.closed;
    await until("they are gone", () => pids.every((pid) => !existsSync(`/proc/${pid}`)));
    await server.start();
    await oneOfEach();
    // What the killed one could not remove.
    expect(existsSync(dirname(socket))).toBeFalse();
  });
});
