/**
 * The sqlite engine against a model (`engine-model.ts`, `state-model.ts`). Batches of random calls, each batch made in one turn; between them time passes,
 * retentions change, and the engine is stopped in order, killed, or cut off from its power, and opened again. Statements fail at
 * random, as on a full disk.
 *
 * A kill is a copy of the files, made while the engine lives and its answers are on their way. A power loss is such a copy with
 * the end of the log cut off, opened on another boot of the machine.
 */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import type { Position } from "@longwire/protocol";
import { Random } from "@longwire/protocol/test/random";
import { ReplyError } from "../../src/base/failures.ts";
import type { Draft, HistoryQuery, Publication, Published, Retention } from "../../src/ports/broker.ts";
import type { Engine } from "../../src/ports/engine.ts";
import { RecordingSink } from "../support/engine.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { SqliteFolders } from "../support/sqlite.ts";
import { BrokerModel, type Loss } from "./engine-model.ts";
import { type StateCall, StateModel } from "./state-model.ts";

const ROUNDS = process.env["LONGWIRE_SLOW"] === "full" ? 4_000 : 600;
const STEPS_MAX = 150;
const CHANNELS = ["a", "b", "c", "d", "e", "f", "g", "h"];
const IDEMPOTENCY_MS = 120_000;
const POSITION_TTL_MS = 600_000;
/** Up to here nothing has been moved from the log into the database, so that its end can be cut off. */
const UNTOUCHED_LOG_BYTES = 7 * 1024 * 1024;

const folders = new SqliteFolders();
// Called with the database it is given.
// oxlint-disable-next-line typescript/unbound-method
const prepare = Database.prototype.prepare;
afterAll(() => {
  folders.remove();
  Database.prototype.prepare = prepare;
});

/** Lets one of the next writing statements fail. */
const disk = { left: 0, code: "", fired: false };
Database.prototype.prepare = function (this: Database, ...given: Parameters<typeof prepare>) {
  const statement = prepare.apply(this, given);
  const run = statement.run.bind(statement);
  statement.run = (...bound: Parameters<typeof run>) => {
    if (disk.left > 0 && given[0] !== "ROLLBACK" && --disk.left === 0) {
      disk.fired = true;
      throw Object.assign(new Error("the fuzz lets this fail"), { code: disk.code });
    }
    return run(...bound);
  };
  return statement;
} as typeof prepare;

type Call =
  | { readonly kind: "publish"; readonly channel: string; readonly draft: Draft }
  | { readonly kind: "clear"; readonly channel: string }
  | { readonly kind: "state"; readonly call: StateCall };

interface Asked {
  readonly call: Call;
  outcome: { readonly value: unknown } | { readonly error: unknown } | undefined;
  readonly done: Promise<void>;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Run {
  readonly clock = new FakeClock();
  readonly retentions = new Map<string, Retention>();
  readonly model: BrokerModel;
  readonly states = new StateModel(CHANNELS);
  readonly held: Position[] = [];
  readonly #subscribed = new Set<string>();
  #folder = folders.make();
  #sink = new RecordingSink();
  #sync: "normal" | "full" = "normal";
  #boot = 1;
  #logAtStart = 0;
  #serial = 0;
  engine: Engine;

  constructor(readonly random: Random) {
    for (const channel of CHANNELS) this.#retain(channel);
    const { clock } = this;
    this.model = new BrokerModel(
      CHANNELS,
      (name) => this.#retentionOf(name),
      IDEMPOTENCY_MS,
      POSITION_TTL_MS,
      clock.now(),
    );
    this.engine = this.#open();
  }

  #retentionOf(channel: string): Retention {
    return this.retentions.get(channel) ?? { size: 10, ttlMs: 60_000 };
  }

  #retain(channel: string): void {
    const { random } = this;
    const size = random.pick([0, 0, 0, 1, 2, 5, 20, 200]);
    this.retentions.set(channel, { size, ttlMs: random.pick([5_000, 60_000, 60_000, 300_000]) });
  }

  /** Some channels are kept otherwise from now on. */
  reconfigure(): void {
    this.pass();
    for (const channel of CHANNELS) if (this.random.chance(50)) this.#retain(channel);
    this.pass();
  }

  pass(): void {
    for (const channel of this.model.pass(this.clock.now())) this.states.forgotten(channel);
  }

  #open(): Engine {
    const { random, clock } = this;
    this.#sync = random.chance(60) ? "normal" : "full";
    this.#sink = new RecordingSink();
    this.#subscribed.clear();
    const engine = folders.open(this.#folder, {
      settings: {
        retentionOf: (name) => this.#retentionOf(name),
        idempotencyMs: IDEMPOTENCY_MS,
        positionTtlMs: POSITION_TTL_MS,
      },
      sink: this.#sink,
      clock,
      sync: this.#sync,
      boot: `boot ${this.#boot}`,
      hotBytesMax: random.pick([0, 2_000, 50_000, 1_000_000]),
    });
    this.#logAtStart = statSync(join(this.#folder, "longwire.db-wal")).size;
    return engine;
  }

  // A batch

  async batch(crash: boolean): Promise<void> {
    const { random } = this;
    if (random.chance(12)) {
      Object.assign(disk, {
        left: 1 + random.below(25),
        code: random.pick(["SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_TOOBIG"]),
      });
    }
    disk.fired = false;
    const asked: Asked[] = [];
    const largest = random.pick([10, 10, 200, 200, 5_000, 64_000]);
    for (let count = random.pick([1, 1, 3, 8, 20]); count > 0; count--) {
      if (random.chance(8)) await this.history();
      if (random.chance(8)) await this.follow();
      asked.push(this.#ask(this.#call(largest)));
    }
    if (crash) {
      for (let turns = random.below(3); turns > 0; turns--) await turn();
      await this.#crash(asked);
      return;
    }
    await Promise.all(asked.map(({ done }) => done));
    disk.left = 0;
    const expected = new Map<string, Publication[]>();
    this.#allowRepetition(asked);
    for (const one of asked) this.#check(one, expected);
    this.#checkSink(expected);
  }

  /** A transaction that fails is made again: an epoch that one of its calls began is told to those before it, too. */
  #allowRepetition(asked: readonly Asked[]): void {
    if (!disk.fired) return;
    for (const { call } of asked) if (call.kind === "publish") this.model.failed(call.channel);
  }

  #call(largest: number): Call {
    const { random } = this;
    const channel = random.pick(CHANNELS);
    const kind = random.below(20);
    if (kind === 0) return { kind: "clear", channel };
    if (kind < 5) return { kind: "state", call: this.states.random(random, this.held) };
    const key = random.chance(25) ? random.pick(["k1", "k2", "n1"]) : undefined;
    const keep = key === undefined ? random.chance(80) : key !== "n1";
    const again = key !== undefined && random.chance(60);
    const data = again
      ? JSON.stringify(key)
      : JSON.stringify(`${this.#serial++} ${random.pick(["x", "你"]).repeat(random.below(largest))}`);
    const name = random.chance(10) ? "name" : undefined;
    return { kind: "publish", channel, draft: { data, name, key, keep } };
  }

  #ask(call: Call): Asked {
    const { broker, state } = this.engine;
    const start = (): Promise<unknown> => {
      if (call.kind === "clear") return broker.clear(call.channel);
      if (call.kind === "state") return this.states.perform(call.call, state);
      this.model.line(call.channel).said.add(call.draft.data);
      return broker.publish(call.channel, call.draft);
    };
    const done = start().then(
      (value) => void (asked.outcome = { value }),
      (error: unknown) => void (asked.outcome = { error }),
    );
    const asked: Asked = { call, outcome: undefined, done };
    return asked;
  }

  #check({ call, outcome }: Asked, expected: Map<string, Publication[]>): void {
    if (outcome === undefined) throw new Error("not answered");
    const now = this.clock.now();
    if ("error" in outcome) {
      this.#refused(call, outcome.error, now);
    } else if (call.kind === "clear") {
      this.model.cleared(call.channel);
    } else if (call.kind === "state") {
      this.states.answered(call.call, outcome.value, now);
    } else {
      const published = outcome.value as Published;
      const publication = this.model.published(call.channel, call.draft, published, now);
      this.held.push({ epoch: published.epoch, offset: published.offset });
      if (publication === undefined || !this.#subscribed.has(call.channel)) return;
      expected.set(call.channel, [...(expected.get(call.channel) ?? []), publication]);
    }
  }

  #refused(call: Call, error: unknown, now: number): void {
    const name = error instanceof ReplyError ? error.error : undefined;
    if (disk.fired && (name === "unavailable" || name === "tooLarge")) return;
    const known = call.kind === "publish" && this.model.known(call.channel, call.draft, now);
    if (name === "conflict" && (known === "conflict" || known === "unsure")) return;
    if (name === "badField" && call.kind === "state" && this.states.refuses(call.call, now)) return;
    throw new Error(`${call.kind} was refused: ${String(error)}`, { cause: error });
  }

  #checkSink(expected: ReadonlyMap<string, Publication[]>): void {
    const got = new Map<string, Publication[]>();
    for (const { channel, epoch, publication } of this.#sink.delivered.splice(0)) {
      this.model.delivered(channel, epoch, publication);
      got.set(channel, [...(got.get(channel) ?? []), publication]);
    }
    for (const channel of CHANNELS) expect([channel, got.get(channel)]).toEqual([channel, expected.get(channel)]);
  }

  // Between and inside batches: what is answered at once

  async history(): Promise<void> {
    const { random, clock, held } = this;
    const channel = random.pick(CHANNELS);
    const { epoch, top, previous } = this.model.line(channel);
    const positions: HistoryQuery["from"][] = ["earliest", "latest"];
    if (epoch !== undefined)
      positions.push({ epoch, offset: random.below(top + 2) }, { epoch, offset: Math.max(0, top - 3) });
    if (typeof previous === "object")
      positions.push({ epoch: previous.epoch, offset: random.below(previous.offset + 3) }, previous);
    if (held.length > 0) positions.push(random.pick(held));
    const query = {
      from: random.pick(positions),
      reverse: random.chance(30),
      limit: random.pick([1, 3, 1_000, 1_000]),
      bytesMax: random.pick([1, 100, 5_000, 1e9, 1e9]),
    };
    const page = await this.engine.broker.history(channel, query);
    this.held.push(page.top);
    this.model.history(channel, query, page, clock.now());
  }

  /** Everything that is kept of everything. */
  async historyOfAll(): Promise<void> {
    for (const channel of CHANNELS) {
      const query = { from: "earliest", limit: 10_000, bytesMax: 1e9 } as const;
      this.model.history(channel, query, await this.engine.broker.history(channel, query), this.clock.now());
    }
  }

  async list(): Promise<void> {
    this.model.listed(await this.engine.broker.channels({ limit: 100 }), this.clock.now());
  }

  async follow(): Promise<void> {
    const channel = this.random.pick(CHANNELS);
    const { broker } = this.engine;
    if (this.random.chance(50)) {
      const top = await broker.subscribe(channel);
      this.held.push(top);
      this.model.subscribed(channel, top);
      this.#subscribed.add(channel);
    } else if (this.#subscribed.delete(channel)) {
      broker.unsubscribe(channel);
      this.model.unsubscribed(channel, this.clock.now());
    }
  }

  async advance(): Promise<void> {
    const { random, clock, model } = this;
    const longMs = random.pick([200, 3_000, 30_000, 30_000, IDEMPOTENCY_MS, POSITION_TTL_MS]);
    if (longMs === POSITION_TTL_MS && random.chance(70)) {
      // Or somebody would always be listening.
      for (const channel of this.#subscribed) {
        this.engine.broker.unsubscribe(channel);
        model.unsubscribed(channel, clock.now());
      }
      this.#subscribed.clear();
    }
    clock.advance(longMs - random.below(2) + 1_000 * random.below(2));
    this.pass();
    await turn();
    await turn();
  }

  // The end of a run, and the next

  async stop(): Promise<void> {
    await this.engine.close();
    if (this.random.chance(50)) this.#boot++;
    await this.#again("nothing", false, []);
  }

  async #crash(asked: readonly Asked[]): Promise<void> {
    const { random, engine } = this;
    const folder = folders.make();
    // By another process: closing a second descriptor of the files in this one would free the locks it has on them.
    const files = ["longwire.db", "longwire.db-wal"].map((file) => join(this.#folder, file));
    expect(Bun.spawnSync(["cp", ...files, folder]).exitCode).toBe(0);
    const pending: Asked[] = [];
    this.#allowRepetition(asked);
    for (const one of asked) {
      if (one.outcome === undefined) pending.push(one);
      else this.#check(one, new Map());
    }
    for (const { channel, epoch, publication } of this.#sink.delivered)
      this.model.delivered(channel, epoch, publication);
    disk.left = 0;
    await engine.close();
    rmSync(this.#folder, { recursive: true });
    this.#folder = folder;
    const rebooted = random.chance(50);
    if (rebooted) this.#boot++;
    const renewed = rebooted && this.#sync === "normal";
    const cut = renewed && random.chance(50) && this.#cutLog();
    const loss = cut ? "end" : pending.length > 0 ? "pending" : "nothing";
    await this.#again(loss, renewed, pending);
  }

  /** What this run has written to the log was not on the disk yet, from some point on. */
  #cutLog(): boolean {
    const path = join(this.#folder, "longwire.db-wal");
    const { size } = statSync(path);
    if (size > UNTOUCHED_LOG_BYTES) return false;
    truncateSync(path, this.#logAtStart + this.random.below(size - this.#logAtStart + 1));
    return true;
  }

  async #again(loss: Loss, renewed: boolean, pending: readonly Asked[]): Promise<void> {
    const { random, clock } = this;
    if (random.chance(40)) this.reconfigure();
    if (random.chance(20)) clock.advance(random.pick([1_000, 60_000, POSITION_TTL_MS]));
    this.pass();
    this.engine = this.#open();
    const calls = pending.map(({ call }) => call);
    const publishing = calls.filter((call) => call.kind !== "state");
    const list = await this.engine.broker.channels({ limit: 100 });
    this.model.restarted(loss, renewed, publishing, list, clock.now());
    const own = calls.flatMap((call) => (call.kind === "state" ? [call.call] : []));
    await this.states.restarted(loss, own, this.engine.state, clock.now());
    if (random.chance(60)) await this.historyOfAll();
  }
}

async function round(random: Random): Promise<void> {
  const run = new Run(random);
  try {
    for (let steps = 10 + random.below(STEPS_MAX); steps > 0; steps--) {
      const kind = random.below(100);
      if (kind < 46) await run.batch(false);
      else if (kind < 59) await run.history();
      else if (kind < 68) await run.follow();
      else if (kind < 82) await run.advance();
      else if (kind < 85) await run.list();
      else if (kind < 92) run.reconfigure();
      else if (kind < 96) await run.stop();
      else await run.batch(true);
    }
    await run.historyOfAll();
    await run.list();
  } finally {
    disk.left = 0;
    await run.engine.close();
    folders.remove();
  }
}

test("[EN-1] [EN-5] [EN-12] [EN-13] [P2] [P3] whatever happens to the engine, what it says is true and was never otherwise", async () => {
  const seed = Number(process.env["LONGWIRE_SEED"] ?? 1);
  for (let n = 0; n < ROUNDS; n++) {
    try {
      await round(new Random(seed + n));
    } catch (cause) {
      throw new Error(`round ${n} failed, LONGWIRE_SEED=${seed + n} begins with it: ${String(cause)}`, { cause });
    }
  }
});
