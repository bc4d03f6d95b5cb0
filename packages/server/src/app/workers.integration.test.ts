/** Several processes on the same ports, as their user starts them: who serves, what keeps them from starting, what happens when one dies. */
import { afterEach, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { certificateFolder, type CertificateFiles, makeCertificate } from "../../test/support/certificates.ts";
import { connectBare } from "../../test/support/bare-client.ts";
import type { Flags } from "../../test/support/server.ts";
import { startRedis } from "../../test/support/redis.ts";
import { freePort, spawnServer } from "../../test/support/server-process.ts";
import { connectTcp } from "../../test/support/tcp-client.ts";
import {
  attempt,
  countOf,
  entriesOf,
  isTaken,
  markOf,
  portOf,
  publishSurely,
  runOfWorkers,
  until,
  workersOf,
} from "../../test/support/workers.ts";

const run = runOfWorkers();
const { start, client, oneOfEach, reload } = run;
afterEach(() => run.end());

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
    expect(workersOf(run.server)).toHaveLength(2);
    const both = await oneOfEach();
    for (const one of both) await one.request({ type: "subscribe", channel: "news" });
    const sent = [];
    for (let count = 1; count <= 20; count++) sent.push((await run.server.publish("news", count)).offset);
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
    // A bare client is not told when it is subscribed.
    await until("all are subscribed", async () => {
      const { body } = await run.server.api("GET", "/api/channels/swoole:chat");
      return (body as { subscribers: number }).subscribers === swoole.length;
    });
    swoole[0]?.send("to all");
    for (const one of swoole) {
      expect(await one.received(1)).toEqual(["to all"]);
      one.terminate();
    }
    expect(await isTaken(textPort)).toBeTrue();
    const listening = entriesOf(run.server, "listening");
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
        new Set(await Promise.all(Array.from({ length: 30 }, () => nameShown(portOf(run.server)))));
      expect(await names()).toEqual(new Set(["first"]));
      put(second);
      run.server.kill("SIGHUP");
      await until("it has taken the files over", () => entriesOf(run.server, "reloaded").length === 1);
      expect(await names()).toEqual(new Set(["second"]));
      expect(entriesOf(run.server, "reloaded")).toMatchObject([{ changed: [], restart: [] }]);
      // The sockets are still those of the supervisor: what replaces a worker gets them with their clients.
      for (const pid of workersOf(run.server)) process.kill(pid, "SIGKILL");
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
      await run.server.publish("news", 1);
      const [victim = 0] = workersOf(run.server);
      process.kill(victim, "SIGKILL");
      await Promise.race(both.map(({ closed }) => closed));
      expect(await publishSurely(run.server, "news", 2)).toBe(2);
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
    expect(entriesOf(run.server, "listening")).toMatchObject([{ connectionsMax: 10 }]);
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
      const dataDir = join(run.server.dataDir, "own");
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
    await refused({ "data-dir": run.server.dataDir }, "another Longwire is running on the data folder");
    await run.server.publish("news", "still here");
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
    await run.server.publish("news", 1);
    for (const one of both) await one.next(({ type }) => type === "message");
    const [victim = 0] = workersOf(run.server);
    const attempts: Promise<string>[] = [];
    for (let count = 0; count < 300; count++) {
      attempts.push(attempt(portOf(run.server)));
      if (count === 60) process.kill(victim, "SIGKILL");
      if (count % 10 === 0) await Bun.sleep(2);
    }
    const outcomes = countOf(await Promise.all(attempts));
    // Who had been accepted by it is cut off with it; who came later is not refused.
    const { ok = 0, ECONNRESET = 0, "cut: ": cut = 0 } = outcomes;
    expect(ok + ECONNRESET + cut).toBe(300);
    expect(ECONNRESET + cut).toBeLessThan(30);
    const lost = await Promise.race(both.map((one) => one.closed.then(() => one)));
    await publishSurely(run.server, "news", 2);
    const back = await client();
    const epoch = lost.frames.find((frame) => frame.type === "subscribed")?.epoch ?? "";
    await back.request({ type: "subscribe", channel: "news", since: { epoch, offset: 1 } });
    expect(await back.next(({ type }) => type === "message")).toMatchObject({ offset: 2, data: 2 });
    await until("there are two again", () => workersOf(run.server).length === 2);
    await oneOfEach();
    expect(entriesOf(run.server, "worker died")).toMatchObject([{ pid: victim, how: "SIGKILL", replacedInMs: 0 }]);
  });

  test("again and again is replaced after pauses that grow, and from the second on the others have everybody", async () => {
    await start();
    const [stays = 0] = workersOf(run.server);
    const deaths = (): Record<string, unknown>[] => entriesOf(run.server, "worker died");
    for (let count = 1; count <= 4; count++) {
      await until("there is one to kill", () => workersOf(run.server).length === 2);
      const victim = workersOf(run.server).find((pid) => pid !== stays) ?? 0;
      process.kill(victim, "SIGKILL");
      await until("its death is told", () => deaths().length === count);
    }
    expect(deaths().map(({ replacedInMs }) => replacedInMs)).toEqual([0, 100, 200, 400]);
    // Its socket is shut: everybody comes to the other one, at once.
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => attempt(portOf(run.server))));
    expect(countOf(outcomes)).toEqual({ ok: 100 });
    await until("it is there again", () => workersOf(run.server).length === 2);
    await oneOfEach();
  });

  test("[WK-4] without dying, because it stands still, is killed and replaced", async () => {
    await start();
    const both = await oneOfEach();
    const [victim = 0] = workersOf(run.server);
    process.kill(victim, "SIGSTOP");
    await until("it is replaced", () => workersOf(run.server).length === 2 && !workersOf(run.server).includes(victim));
    expect(entriesOf(run.server, "worker died")).toMatchObject([{ pid: victim, how: "SIGKILL" }]);
    expect(String(entriesOf(run.server, "worker died")[0]?.["reason"])).toContain("answer");
    await Promise.race(both.map(({ closed }) => closed));
    await oneOfEach();
  }, 60_000);

  test("[WK-12] by SIGTERM alone goes in order, when another is in its place", async () => {
    await start();
    const both = await oneOfEach();
    const [victim = 0] = workersOf(run.server);
    process.kill(victim, "SIGTERM");
    const gone = await Promise.race(both.map((one) => one.closed.then(() => one)));
    expect(gone.frames.filter(({ type }) => type === "disconnect")).toMatchObject([{ code: 4200 }]);
    await until("it has gone", () => !workersOf(run.server).includes(victim));
    expect(workersOf(run.server)).toHaveLength(2);
    expect(entriesOf(run.server, "worker replaced")).toHaveLength(1);
    expect(entriesOf(run.server, "worker died")).toEqual([]);
  });
});
