/** Workers that do not read, do not answer, or are none; and a supervisor that does not read. */
import type { Socket } from "bun";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { draftOf, RecordingSink, settingsOf } from "../../../test/support/engine.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { buildRemote, type RemoteHouse, silentLog, until } from "../../../test/support/remote.ts";
import { ReplyError, StartupError } from "../../base/failures.ts";
import { openMemoryEngine } from "../memory/engine.ts";
import { connectRemoteEngine } from "./client.ts";
import { FrameInput, FrameWriter } from "./frames.ts";
import { FRAME_BYTES_MAX, FROM_SUPERVISOR, FROM_WORKER, GREETING, type Hello, VERSION } from "./messages.ts";
import { type EngineServer, serveEngine } from "./server.ts";

const MEGABYTE = JSON.stringify("x".repeat(1024 * 1024));

let house: RemoteHouse;

beforeEach(async () => {
  house = await buildRemote((sink) => openMemoryEngine(settingsOf(), sink, new FakeClock()));
});

afterEach(() => house.close());

/** A worker of the test's own, which does what no worker does. */
class RawWorker {
  readonly kinds: number[] = [];
  isClosed = false;
  socket!: Socket;
  readonly #input = new FrameInput(FRAME_BYTES_MAX, (frame) => {
    this.kinds.push(frame.kind);
  });

  static async connect(path: string): Promise<RawWorker> {
    const worker = new RawWorker();
    worker.socket = await Bun.connect({
      unix: path,
      socket: {
        data: (_, chunk) => worker.#input.push(chunk),
        close() {
          worker.isClosed = true;
        },
      },
    });
    return worker;
  }

  send(kind: number, write: (writer: FrameWriter) => FrameWriter = (writer) => writer): void {
    this.socket.write(write(new FrameWriter().begin(kind)).finish());
  }

  hello(changed: Partial<Hello> = {}): void {
    const hello: Hello = { greeting: GREETING, version: VERSION, mark: "rawraw", pid: 4_711, ...changed };
    this.send(FROM_WORKER.hello, (writer) => writer.text(JSON.stringify(hello)));
  }
}

async function closed(worker: RawWorker): Promise<void> {
  await until(() => worker.isClosed);
}

function refused(connecting: Promise<unknown>): Promise<StartupError> {
  return connecting.then(
    () => Promise.reject(new Error("it was let in")),
    (error: unknown) => {
      expect(error).toBeInstanceOf(StartupError);
      return error as StartupError;
    },
  );
}

function serve(path: string): EngineServer {
  return serveEngine(path, {
    open: (sink) => openMemoryEngine(settingsOf(), sink, new FakeClock()),
    clock: new FakeClock(),
    log: silentLog,
    leaveDelayOf: () => 0,
    onStuck: () => undefined,
  });
}

describe("a worker that does not read", () => {
  test("[WK-4] is given up at 64 MB, and the others get everything", async () => {
    const good = await house.worker();
    await good.engine.broker.subscribe("x");
    const raw = await RawWorker.connect(house.path);
    raw.hello();
    raw.send(FROM_WORKER.subscribe, (writer) => writer.count(1).text("x"));
    await until(() => raw.kinds.includes(FROM_SUPERVISOR.reply));
    raw.socket.pause();
    let count = 0;
    while (house.stuck.length === 0 && count < 100) {
      count++;
      await good.engine.broker.publish("x", { data: MEGABYTE, keep: true });
    }
    expect(house.stuck).toEqual([{ mark: "rawraw", pid: 4_711, reason: "it does not take what it is sent" }]);
    expect(count).toBeGreaterThan(63);
    expect(count).toBeLessThan(72);
    expect(await good.engine.broker.publish("x", draftOf("after"))).toMatchObject({ followers: 1 });
    expect(good.sink.offsets("x")).toEqual(Array.from({ length: count + 1 }, (_, at) => at + 1));
    raw.socket.terminate();
  });

  test("[WK-13] more pages than it may leave untaken are no fault: they come as fast as it takes them", async () => {
    const { engine, caughtUp } = await house.worker();
    for (let count = 0; count < 5; count++) await engine.broker.publish("x", { data: MEGABYTE, keep: true });
    const query = { from: "earliest", limit: 5, bytesMax: 100_000_000 } as const;
    let answered = 0;
    const asked = Array.from({ length: 40 }, async () => {
      const { publications } = await engine.broker.history("x", query);
      answered += publications.length;
    });
    // What is not long does not wait behind them.
    await caughtUp();
    expect(answered).toBeLessThan(200);
    await Promise.all(asked);
    expect(answered).toBe(200);
    expect(house.stuck).toEqual([]);
  });
});

describe("a worker that does not answer", () => {
  test("[WK-4] is given up after 10 s; one that answers is not", async () => {
    const good = await house.worker();
    const raw = await RawWorker.connect(house.path);
    raw.hello({ mark: "silent" });
    await until(() => raw.kinds.includes(FROM_SUPERVISOR.welcome));
    for (let second = 1; second <= 10; second++) {
      house.clock.advance(1_000);
      await good.caughtUp();
    }
    expect(house.stuck).toEqual([]);
    house.clock.advance(1_000);
    expect(house.stuck).toEqual([{ mark: "silent", pid: 4_711, reason: "it does not answer" }]);
    await closed(raw);
    await good.caughtUp();
    expect(good.losses()).toBe(0);
  });

  test("[WK-4] one that is busy with what was published takes it, and is not", async () => {
    const good = await house.worker();
    const raw = await RawWorker.connect(house.path);
    raw.hello();
    raw.send(FROM_WORKER.subscribe, (writer) => writer.count(1).text("x"));
    await until(() => raw.kinds.includes(FROM_SUPERVISOR.reply));
    const taken = (): number => raw.kinds.filter((kind) => kind === FROM_SUPERVISOR.publication).length;
    for (let second = 1; second <= 25; second++) {
      raw.socket.pause();
      await good.engine.broker.publish("x", { data: MEGABYTE, keep: true });
      house.clock.advance(1_000);
      raw.socket.resume();
      await until(() => taken() === second);
      await good.caughtUp();
    }
    expect(house.stuck).toEqual([]);
    raw.socket.terminate();
  });

  test("[WK-4] any word of it counts", async () => {
    const raw = await RawWorker.connect(house.path);
    raw.hello();
    for (let second = 1; second <= 30; second++) {
      const before = raw.kinds.length;
      raw.send(FROM_WORKER.subscribe, (writer) => writer.count(second).text("x"));
      await until(() => raw.kinds.length > before);
      house.clock.advance(1_000);
    }
    expect(house.stuck).toEqual([]);
    raw.socket.terminate();
  });
});

describe("whoever is no worker", () => {
  const GARBAGE: Readonly<Record<string, Buffer>> = {
    "another protocol": Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a frame that is too long for a greeting": Buffer.from([0, 16, 0, 0, FROM_WORKER.hello]),
    "an empty frame": Buffer.from([0, 0, 0, 0]),
    "no JSON": Buffer.from(new FrameWriter().begin(FROM_WORKER.hello).text("{").finish()),
    null: Buffer.from(new FrameWriter().begin(FROM_WORKER.hello).text("null").finish()),
    "another greeting": Buffer.from(new FrameWriter().begin(FROM_WORKER.hello).text('{"greeting":"hi"}').finish()),
    "a command before the greeting": Buffer.from(new FrameWriter().begin(FROM_WORKER.open).finish()),
  };

  for (const [name, bytes] of Object.entries(GARBAGE)) {
    test(`[WK-14] is cut off: ${name}`, async () => {
      const raw = await RawWorker.connect(house.path);
      raw.socket.write(bytes);
      await closed(raw);
      expect(raw.kinds).toEqual([]);
      expect(house.errors.length).toBe(1);
      expect((await house.worker()).engine.bus.peers()).toEqual([]);
    });
  }

  test("[WK-14] is cut off when it says nothing", async () => {
    const raw = await RawWorker.connect(house.path);
    await house.worker();
    house.clock.advance(5_000);
    expect(raw.isClosed).toBeFalse();
    house.clock.advance(1_000);
    await closed(raw);
  });

  test("a worker that talks nonsense later is cut off, and known as gone", async () => {
    const good = await house.worker();
    const raw = await RawWorker.connect(house.path);
    raw.hello();
    raw.send(FROM_WORKER.open);
    await until(() => good.engine.bus.peers().length === 1);
    raw.send(99);
    await closed(raw);
    await until(() => good.engine.bus.peers().length === 0);
    expect(house.errors).toMatchObject([{ fields: { worker: 4_711 } }]);
  });
});

describe("a worker that is not let in", () => {
  let losses = 0;
  const parts = { self: "selfie", clock: new FakeClock(), log: silentLog, onLost: () => losses++ };

  // It is told by what `connectRemoteEngine` rejects with, and not as one that has lost its supervisor.
  afterEach(async () => {
    await Bun.sleep(5);
    expect(losses).toBe(0);
  });

  test("[WK-1] a second one of the same mark", async () => {
    await house.worker({ self: "selfie" });
    expect((await refused(connectRemoteEngine(house.path, parts))).message).toContain("selfie");
  });

  test("[WK-14] one of another version", async () => {
    const raw = await RawWorker.connect(house.path);
    raw.hello({ version: VERSION + 1 });
    await closed(raw);
    expect(raw.kinds).toEqual([FROM_SUPERVISOR.refused]);
  });

  test("where nobody is, and where nobody answers", async () => {
    const { message, advice } = await refused(connectRemoteEngine(join(dirname(house.path), "none.sock"), parts));
    expect(message).toContain("the supervisor cannot be reached");
    expect(advice).not.toBe("");
    const path = join(dirname(house.path), "mute.sock");
    const mute = Bun.listen({ unix: path, socket: { data: () => undefined } });
    const clock = new FakeClock();
    const connecting = refused(connectRemoteEngine(path, { ...parts, clock }));
    await Bun.sleep(5);
    clock.advance(5_000);
    expect((await connecting).message).toContain("it does not answer");
    expect(clock.timers).toBe(0);
    mute.stop(true);
  });
});

describe("a supervisor that does not read", () => {
  test("[WK-13] publishes are refused beyond 128 MB, never dropped", async () => {
    const path = join(dirname(house.path), "stalled.sock");
    let supervisor: Socket | undefined;
    const welcome = new FrameWriter()
      .begin(FROM_SUPERVISOR.welcome)
      .text(JSON.stringify({ peers: [], health: { ready: true } }))
      .finish();
    const stalled = Bun.listen({
      unix: path,
      socket: {
        open(socket) {
          supervisor = socket;
          socket.write(welcome);
          socket.pause();
        },
        data: () => undefined,
      },
    });
    let losses = 0;
    const parts = { self: "selfie", clock: new FakeClock(), log: silentLog, onLost: () => losses++ };
    const engine = (await connectRemoteEngine(path, parts)).open(settingsOf(), new RecordingSink());
    const failures: unknown[] = [];
    const publishes: Promise<unknown>[] = [];
    for (let count = 0; count < 135; count++) {
      publishes.push(engine.broker.publish("x", { data: MEGABYTE, keep: true }).catch((error) => failures.push(error)));
    }
    await Bun.sleep(5);
    expect(failures.length).toBeGreaterThan(5);
    expect(failures.length).toBeLessThan(9);
    expect(failures[0]).toMatchObject({ error: "unavailable", retryMs: 1_000 });
    expect(losses).toBe(0);
    // Its end is the end of what waits: nobody knows what became of it.
    supervisor?.terminate();
    await Promise.all(publishes);
    expect(failures.length).toBe(135);
    expect(failures.every((failure) => failure instanceof ReplyError && failure.error === "unavailable")).toBeTrue();
    expect(losses).toBe(1);
    expect(engine.health().ready).toBeFalse();
    expect(await engine.state.get("k").catch((error: unknown) => error)).toBeInstanceOf(ReplyError);
    stalled.stop(true);
  });
});

describe("the end", () => {
  test("[ST-6] a worker that closes gets the answers to what it has asked, and takes no more", async () => {
    const { engine, losses } = await house.worker();
    const publishes = Array.from({ length: 500 }, (_, at) => engine.broker.publish("x", draftOf(`${at}`)));
    const reading = engine.broker.history("x", { from: "earliest", limit: 10, bytesMax: 1_000 });
    const closing = engine.close();
    expect(await engine.broker.publish("x", draftOf("late")).catch((error: unknown) => error)).toMatchObject({
      error: "unavailable",
    });
    await closing;
    expect((await Promise.all(publishes)).at(-1)).toMatchObject({ offset: 500 });
    expect((await reading).top.offset).toBe(500);
    expect(losses()).toBe(0);
  });

  test("[ST-6] a supervisor that closes answers first; then its workers know that they have to go", async () => {
    const workers = [await house.worker(), await house.worker()];
    const publishes = workers.map(({ engine }) => engine.broker.publish("x", draftOf("1")));
    for (const { caughtUp } of workers) await caughtUp();
    await house.server.close();
    await Promise.all(publishes);
    await until(() => workers.every(({ losses }) => losses() === 1));
    expect(existsSync(house.path)).toBeFalse();
    expect(house.clock.timers).toBe(0);
  });
});

describe("the socket", () => {
  test("[WK-14] belongs to the user alone, and takes the place of one that was left behind", async () => {
    const folder = mkdtempSync(join(tmpdir(), "longwire-socket-"));
    const path = join(folder, "made", "engine.sock");
    await Bun.write(path, "left behind");
    chmodSync(dirname(path), 0o700);
    const server = serve(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(path).isSocket()).toBeTrue();
    await server.close();
    chmodSync(dirname(path), 0o750);
    expect(() => serve(path)).toThrow(StartupError);
    rmSync(folder, { recursive: true });
    expect(() => serve(join(tmpdir(), "x".repeat(120)))).toThrow("cannot be as long as");
    const made = serve(path);
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
    await made.close();
    rmSync(folder, { recursive: true });
  });
});
