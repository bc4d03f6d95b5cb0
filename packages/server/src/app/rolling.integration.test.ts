/** Several processes that go: replaced by others one after the other, or all together. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openWebSocket } from "../../test/support/raw-socket.ts";
import { attempt, countOf, entriesOf, portOf, runOfWorkers, until, workersOf } from "../../test/support/workers.ts";

const run = runOfWorkers();
const { start, client, oneOfEach, reload } = run;
afterEach(() => run.end());

describe("[WK-5] longwire reload", () => {
  test("under a stream of new connections: none is refused or reset, and each client is told once to come back", async () => {
    await start({ engine: "sqlite" });
    const before = workersOf(run.server);
    const early = await Promise.all(Array.from({ length: 40 }, client));
    // They come back at once, to a worker that stays.
    const back = early.map((one) => one.closed.then(() => client()));
    const outcomes: Promise<string>[] = [];
    const over = new AbortController();
    const knocking = (async () => {
      while (!over.signal.aborted) {
        outcomes.push(attempt(portOf(run.server)));
        await Bun.sleep(2);
      }
    })();
    const published: number[] = [];
    const publishing = (async () => {
      while (!over.signal.aborted) published.push((await run.server.publish("news", published.length)).offset);
    })();
    const { status, out, error } = await reload();
    expect({ status, error }).toEqual({ status: 0, error: "" });
    expect(out).toBe(`replaced 2 of 2 workers of the server ${run.server.pid}\n`);
    over.abort();
    await Promise.all([knocking, publishing]);
    const counted = countOf(await Promise.all(outcomes));
    expect(counted).toEqual({ ok: outcomes.length });
    expect(outcomes.length).toBeGreaterThan(100);
    expect(published).toEqual(Array.from({ length: published.length }, (_, index) => index + 1));
    for (const one of early) {
      expect(one.frames.filter(({ type }) => type === "disconnect")).toMatchObject([{ code: 4200, reconnect: true }]);
    }
    for (const one of await Promise.all(back)) {
      expect(await one.request({ type: "ping" })).toMatchObject({ type: "pong" });
      expect(one.frames.filter(({ type }) => type === "disconnect")).toEqual([]);
    }
    const after = workersOf(run.server);
    expect(after).toHaveLength(2);
    expect(after.filter((pid) => before.includes(pid))).toEqual([]);
    expect(entriesOf(run.server, "worker died")).toEqual([]);
  }, 60_000);

  test("[WK-10] reads the configuration anew; where it is wrong or settled, everything stays as it was", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "longwire-reload-")), "longwire.toml");
    writeFileSync(file, "messageBytesMax = 1000\n");
    await start({ config: file, "connections-max": "" });
    const before = workersOf(run.server);
    writeFileSync(file, "messageBytesMax = 2000\nloopLagMsMaximum = 7\n");
    expect(await reload()).toMatchObject({ status: 1, error: expect.stringContaining("loopLagMsMaximum") });
    writeFileSync(file, 'messageBytesMax = 2000\npresets = ["ratchet"]\n');
    expect(await reload()).toMatchObject({ status: 1, error: expect.stringContaining("presets: settled") });
    expect(workersOf(run.server)).toEqual(before);
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

  test("[WK-10] a configuration that no worker has started with is not used for those that replace a dead one", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "longwire-reload-")), "longwire.toml");
    writeFileSync(file, "messageBytesMax = 1000\n");
    await start({ config: file });
    const before = workersOf(run.server);
    writeFileSync(file, "messageBytesMax = 2000\n");
    const asked = reload();
    await until("there is a new one", () => workersOf(run.server).length === 3);
    process.kill(workersOf(run.server).find((pid) => !before.includes(pid)) ?? 0, "SIGKILL");
    expect(await asked).toMatchObject({ status: 1 });
    for (const pid of before) process.kill(pid, "SIGKILL");
    const [one, other] = await oneOfEach();
    const long = { type: "publish", channel: "news", data: "x".repeat(1500) };
    for (const each of [one, other]) {
      each?.send(long);
      expect((await each?.closed)?.code).toBeGreaterThan(1000);
    }
    rmSync(dirname(file), { recursive: true, force: true });
  }, 60_000);

  test("[WK-10] what a reload brings meanwhile is for those who are started after it, too", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "longwire-reload-")), "longwire.toml");
    writeFileSync(file, "subscriptionsMax = 10\nmessageBytesMax = 1000\n");
    await start({ config: file });
    writeFileSync(file, "subscriptionsMax = 10\nmessageBytesMax = 2000\n");
    const asked = reload();
    await until("there is a new one", () => workersOf(run.server).length === 3);
    writeFileSync(file, "subscriptionsMax = 1\nmessageBytesMax = 1000\n");
    run.server.kill("SIGHUP");
    expect(await asked).toMatchObject({ status: 0, error: "" });
    expect(entriesOf(run.server, "reloaded")).toHaveLength(1);
    for (const one of await oneOfEach()) {
      expect(await one.request({ type: "publish", channel: "a", data: "x".repeat(1500) })).toMatchObject({
        type: "published",
      });
      await one.request({ type: "subscribe", channel: "a" });
      expect(await one.ask({ type: "subscribe", channel: "b" })).toMatchObject({ type: "error", code: 112 });
    }
    rmSync(dirname(file), { recursive: true, force: true });
  }, 60_000);

  test("[WK-10] takes over the log level of the supervisor, too", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "longwire-reload-")), "longwire.toml");
    writeFileSync(file, 'logLevel = "info"\n');
    await start({ config: file, "log-level": "" });
    writeFileSync(file, 'logLevel = "error"\n');
    expect(await reload()).toMatchObject({ status: 0 });
    expect(await reload()).toMatchObject({ status: 0 });
    expect(entriesOf(run.server, "replacing workers")).toHaveLength(1);
    rmSync(dirname(file), { recursive: true, force: true });
  }, 60_000);

  test("where a new worker does not become ready the old one stays, and the command says why", async () => {
    await start();
    const before = workersOf(run.server);
    const asked = reload();
    // Each new one is killed before it can be ready.
    await until("there is a new one", () => workersOf(run.server).length === 3);
    const next = workersOf(run.server).find((pid) => !before.includes(pid)) ?? 0;
    process.kill(next, "SIGKILL");
    const { status, out, error } = await asked;
    expect({ status, out }).toEqual({ status: 1, out: "" });
    expect(error).toContain("worker 1 stays as it was: worker 1 ended before it was ready: SIGKILL");
    expect(workersOf(run.server)).toEqual(before);
    await oneOfEach();
  }, 60_000);

  test("one that dies while its place is being taken leaves the place to who takes it", async () => {
    await start();
    const [first = 0] = workersOf(run.server);
    const asked = reload();
    await until("there is a new one", () => workersOf(run.server).length === 3);
    process.kill(first, "SIGKILL");
    expect(await asked).toMatchObject({ status: 0, error: "" });
    await until("only the new ones are left", () => workersOf(run.server).length === 2);
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => attempt(portOf(run.server))));
    expect(countOf(outcomes)).toEqual({ ok: 100 });
    // Nobody has shut the socket of the one that is new.
    await oneOfEach();
  }, 60_000);

  test("says that there is none where none runs", async () => {
    await start({ workers: "1", engine: "sqlite" });
    expect(await reload()).toMatchObject({
      status: 1,
      error: expect.stringContaining("no server with several workers runs on the data folder"),
    });
  }, 60_000);
});

describe("the end", () => {
  test("[WK-6] SIGTERM stops all in order, with 0, and leaves nothing behind", async () => {
    await start({ engine: "sqlite" });
    const both = await oneOfEach();
    await run.server.publish("news", "kept");
    const pids = workersOf(run.server);
    const { socket } = JSON.parse(readFileSync(join(run.server.dataDir, "supervisor.lock"), "utf8")) as {
      socket: string;
    };
    expect(existsSync(socket)).toBeTrue();
    run.server.kill("SIGTERM");
    expect(await run.server.exited).toBe(0);
    for (const one of both) {
      await one.closed;
      expect(one.frames.filter(({ type }) => type === "disconnect")).toMatchObject([{ code: 4200 }]);
    }
    for (const pid of pids) expect(existsSync(`/proc/${pid}`)).toBeFalse();
    expect(existsSync(dirname(socket))).toBeFalse();
    expect(entriesOf(run.server, "stopped")).toHaveLength(3);
    await run.server.start();
    const { body } = await run.server.api("GET", "/api/channels/news/history?since=earliest");
    expect(body).toMatchObject({ publications: [{ data: "kept" }] });
  }, 60_000);

  test("[WK-6] while clients go, nobody waits for a server that takes nobody any more", async () => {
    await start({ "drain-seconds": "30" });
    // They never read their goodbye, and are waited for.
    const stuck = await Promise.all(
      Array.from({ length: 8 }, () => openWebSocket(portOf(run.server), "/ws?channels=news")),
    );
    for (const one of stuck) one.pause();
    const data = "x".repeat(500_000);
    for (let count = 0; count < 10; count++) await run.server.publish("news", data);
    run.server.kill("SIGTERM");
    await until("it is going", () => entriesOf(run.server, "stopping").length === 3);
    await until("nobody is taken", async () => (await attempt(portOf(run.server))) === "ECONNREFUSED");
    expect(countOf(await Promise.all(Array.from({ length: 50 }, () => attempt(portOf(run.server)))))).toEqual({
      ECONNREFUSED: 50,
    });
    expect(workersOf(run.server).length).toBeGreaterThan(0);
    for (const one of stuck) one.destroy();
    expect(await run.server.exited).toBe(0);
  }, 60_000);

  test("[WK-6] Ctrl-C reaches the workers too, and is one signal", async () => {
    await start();
    await oneOfEach();
    for (const pid of [...workersOf(run.server), run.server.pid]) process.kill(pid, "SIGINT");
    expect(await run.server.exited).toBe(0);
    expect(entriesOf(run.server, "stopped")).toHaveLength(3);
  }, 60_000);

  test("[WK-6] [ST-11] a second signal waits for nobody", async () => {
    await start({ "leave-seconds": "600" });
    await oneOfEach();
    run.server.kill("SIGTERM");
    await until("it is going", () => entriesOf(run.server, "stopping").length === 3);
    await Bun.sleep(600);
    run.server.kill("SIGTERM");
    expect(await run.server.exited).toBe(0);
  }, 60_000);

  test("[WK-7] kill -9 of the supervisor ends its workers, one that stands still too, and frees ports and data", async () => {
    await start({ engine: "sqlite" });
    const [one] = await oneOfEach();
    const pids = workersOf(run.server);
    const { socket } = JSON.parse(readFileSync(join(run.server.dataDir, "supervisor.lock"), "utf8")) as {
      socket: string;
    };
    process.kill(pids[0] ?? 0, "SIGSTOP");
    run.server.kill("SIGKILL");
    await run.server.exited;
    await one?.closed;
    await until("they are gone", () => pids.every((pid) => !existsSync(`/proc/${pid}`)));
    await run.server.start();
    await oneOfEach();
    // What the killed one could not remove.
    expect(existsSync(dirname(socket))).toBeFalse();
  }, 60_000);
});
