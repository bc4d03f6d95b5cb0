/**
 * The core with fakes around it: no socket, no disk, a clock that stands still.
 *
 *     const house = buildCore();                          // memory engine; or buildCore({ broker: myBroker })
 *     const bob = house.open({ user: "bob" });            // connected session with a FakeConnection
 *     await bob.say({ type: "subscribe", channel: "a" });
 *     await house.publish("a", "hi");
 *     bob.connection.frames();
 *
 * Tokens are user names: the fake authority takes `bob` for bob, and JSON for a whole identity; `bad` is refused.
 */
import type { Command } from "@longwire/protocol";
import { ReplyError } from "../../src/base/failures.ts";
import { Turn } from "../../src/base/turn.ts";
import type { Logger } from "../../src/base/log.ts";
import { type CoreParts, createCore } from "../../src/core/core.ts";
import type { ChannelOptions, LimitSettings, Settings } from "../../src/core/settings.ts";
import { openMemoryEngine } from "../../src/engines/memory/engine.ts";
import type { Authority, Identity } from "../../src/ports/authority.ts";
import type { Broker, Sink } from "../../src/ports/broker.ts";
import type { Engine } from "../../src/ports/engine.ts";
import type { SessionHandle } from "../../src/ports/gateway.ts";
import type { Hooks } from "../../src/ports/hooks.ts";
import { nativeProtocol } from "../../src/protocols/native.ts";
import { FakeClock } from "./fake-clock.ts";
import { FakeConnection, FakeFanout } from "./fake-connection.ts";

export const OPEN: ChannelOptions = {
  historySize: 100,
  historyMs: 300_000,
  start: "latest",
  inbox: false,
  subscribe: "everybody",
  publish: "everybody",
  presence: "everybody",
  history: "everybody",
  leaveDelayMs: 3000,
  bareEcho: true,
  escapeHtml: false,
};

export const PERSONAL: ChannelOptions = {
  ...OPEN,
  historySize: 1000,
  start: "inbox",
  inbox: true,
  subscribe: "owner",
  publish: "token",
  presence: "owner",
  history: "owner",
};

export const UNLIMITED: LimitSettings = {
  commandsPerSecond: Infinity,
  bytesPerSecond: Infinity,
  publishesPerSecond: Infinity,
  burstSeconds: 1,
  messageBytesMax: Infinity,
  connectionsPerAddressMax: Infinity,
  connectionsPerUserMax: Infinity,
  publishesPerSecondPerAddress: Infinity,
  publishesPerSecondPerUser: Infinity,
  isExempt: () => false,
};

export const SETTINGS: Settings = {
  version: "0.0.0",
  pingIntervalMs: 25_000,
  pingTimeoutMs: 10_000,
  streamMaxAgeMs: Infinity,
  queueBytesMax: 1024 * 1024,
  queueBytesTotalMax: 16 * 1024 * 1024,
  publicationBytesMax: 64 * 1024,
  depthMax: 16,
  subscriptionsMax: 50,
  recoveryMax: 1000,
  historyPageMax: 100,
  presenceListMax: 100,
  resumeMs: 60_000,
  tokenGraceMs: 0,
  connectTimeoutMs: 15_000,
  anonymous: "welcome",
  askConnect: "never",
  limits: UNLIMITED,
  channels: OPEN,
  namespaces: new Map([["@", PERSONAL]]),
};

export interface CoreSession {
  readonly handle: SessionHandle;
  readonly connection: FakeConnection;
  /** Hands a command (or any text) in and waits until the core has nothing left to do. */
  say(command: Command | string): Promise<void>;
  /** The connection is lost. */
  drop(): Promise<void>;
}

export interface CoreHouse extends CoreParts {
  readonly clock: FakeClock;
  readonly engine: Engine;
  readonly fanout: FakeFanout;
  /** What was logged as an error: a bug, unless the test provoked it. */
  readonly errors: unknown[];
  open(options?: {
    user?: string;
    topics?: boolean;
    session?: string;
    client?: string;
    connect?: boolean;
    ping?: boolean;
  }): Promise<CoreSession>;
  publish(channel: string, data: unknown): Promise<number>;
}

/** Lets everything that is ready run: promises, and the ends of turns. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

const authority: Authority = {
  identify(token): Promise<Identity> {
    if (token === "bad") return Promise.reject(new ReplyError("badToken"));
    const claims = claimsOf(token);
    if (claims === undefined) return Promise.reject(new ReplyError("badToken"));
    return Promise.resolve({
      user: undefined,
      expiresAt: undefined,
      channels: [],
      info: undefined,
      allow: undefined,
      ...claims,
    });
  },
  admit: (token) => (token === "good" ? Promise.resolve(undefined) : Promise.reject(new ReplyError("badToken"))),
};

/** undefined: half an identity, as fuzzing makes them. */
function claimsOf(token: string): Partial<Identity> | undefined {
  if (!token.startsWith("{")) return { user: token };
  try {
    return JSON.parse(token) as Partial<Identity>;
  } catch {
    return undefined;
  }
}

/** The broker with some of its methods replaced. */
export function brokerWith(inner: Broker, replaced: Partial<Broker>): Broker {
  return {
    publish: (channel, draft) => inner.publish(channel, draft),
    subscribe: (channel) => inner.subscribe(channel),
    unsubscribe: (channel) => inner.unsubscribe(channel),
    history: (channel, query) => inner.history(channel, query),
    clear: (channel) => inner.clear(channel),
    channels: (query) => inner.channels(query),
    ...replaced,
  };
}

export interface CoreHouseOptions {
  readonly hooks?: Hooks;
  readonly settings?: Partial<Settings>;
  /** In place of a memory engine of its own, and of the clock that goes with it. */
  readonly engine?: { readonly clock: FakeClock; readonly open: (sink: Sink) => Engine };
  /** In place of the memory engine's. */
  readonly broker?: (sink: Sink) => Broker;
  /** Around the memory engine's, on either side. */
  readonly wrap?: { readonly sink: (hub: Sink) => Sink; readonly broker: (broker: Broker) => Broker };
}

export function buildCore(options: CoreHouseOptions = {}): CoreHouse {
  const settings = { ...SETTINGS, ...options.settings };
  const clock = options.engine?.clock ?? new FakeClock();
  const fanout = new FakeFanout();
  const errors: unknown[] = [];
  const log: Logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (event, fields) => errors.push({ event, ...fields }),
  };
  let engine: Engine | undefined;
  const parts = createCore({
    settings,
    clock,
    log,
    turn: new Turn(),
    authority,
    hooks: options.hooks ?? {},
    openEngine(sink) {
      if (options.engine !== undefined) return (engine = options.engine.open(sink));
      const { historySize, historyMs } = settings.channels;
      const memory = openMemoryEngine(
        {
          retentionOf: () => ({ size: historySize, ttlMs: historyMs }),
          idempotencyMs: 300_000,
          positionTtlMs: 86_400_000,
        },
        options.wrap?.sink(sink) ?? sink,
        clock,
      );
      const broker = options.broker?.(sink) ?? options.wrap?.broker(memory.broker) ?? memory.broker;
      engine = { ...memory, broker };
      return engine;
    },
  });
  if (engine === undefined) throw new Error("no engine was opened");
  const { gateway, control } = parts;
  return {
    ...parts,
    clock,
    engine,
    fanout,
    errors,
    async open({ user, topics = true, connect = true, ...command } = {}) {
      const connection = new FakeConnection(topics ? { topics: fanout } : {});
      const handle = gateway.open(connection, nativeProtocol(settings.depthMax), { channels: [] });
      const session: CoreSession = {
        handle,
        connection,
        async say(command) {
          gateway.receive(handle, typeof command === "string" ? command : JSON.stringify(command));
          await settle();
        },
        async drop() {
          gateway.closed(handle, 1006, "");
          await settle();
        },
      };
      if (connect) await session.say({ type: "connect", ...(user !== undefined && { token: user }), ...command });
      return session;
    },
    async publish(channel, data) {
      const { offset } = await control.publish({ channel, data: JSON.stringify(data) });
      await settle();
      return offset ?? 0;
    },
  };
}
