/** Options of a client, and their defaults. */
import type { Backoff, Jitter } from "./backoff.ts";
import {
  type AbortControllerConstructor,
  type Clock,
  type EventSourceConstructor,
  type FetchLike,
  type Globals,
  globals,
  type StorageLike,
  type Surroundings,
  systemClock,
  systemReport,
  systemStorage,
  systemSurroundings,
  type WebSocketConstructor,
} from "./platform.ts";
import { TRANSPORT_NAMES, type TransportName } from "./transports/transport.ts";

export interface ClientOptions {
  /** In the order of preference: where one is blocked, the next is taken. */
  readonly transports?: readonly TransportName[];
  /** How long a transport may take to connect before the next is tried. */
  readonly transportTimeoutMs?: number;
  readonly token?: string;
  /** Asked when there is no token yet, when the server calls the token bad or expired, and before it expires. */
  readonly getToken?: () => Promise<string>;
  /** Names the device: the user's inbox positions are then kept for this device alone. */
  readonly client?: string;
  readonly backoff?: Partial<Backoff>;
  readonly jitter?: Jitter;
  /** When the backoff starts from the beginning: as soon as connected, or once the connection has held for a while. */
  readonly resetOn?: "stable" | "open";
  /**
   * Keeps positions over page loads, so that the next page gets what was missed between them: `session` for this tab,
   * `local` for this browser. Either also keeps the session itself for this tab, so that others see no leave and join.
   */
  readonly persist?: "none" | "session" | "local";
  /** How long one attempt to connect, and one request on a standing connection, may take. */
  readonly requestTimeoutMs?: number;
  /** How long a publish may wait for the connection to come back. */
  readonly queueTimeoutMs?: number;
  /** Most requests that may wait for their answer. */
  readonly queueCountMax?: number;
  /** Most memory that their frames may take. */
  readonly queueBytesMax?: number;
  /** Told of everything that handlers throw and of frames that make no sense; else the `error` event is, else the console. */
  readonly onError?: (error: unknown) => void;
  readonly WebSocket?: WebSocketConstructor;
  readonly EventSource?: EventSourceConstructor;
  readonly fetch?: FetchLike;
  /** Of the same maker as `fetch`. */
  readonly AbortController?: AbortControllerConstructor;
  /** Instead of `sessionStorage` and `localStorage`. */
  readonly storage?: { readonly session?: StorageLike; readonly local?: StorageLike };
  readonly surroundings?: Surroundings;
  readonly clock?: Clock;
  /** Between 0 and 1, as `Math.random`. */
  readonly random?: () => number;
}

type Means = "WebSocket" | "EventSource" | "fetch" | "AbortController";

type Defaulted =
  | "transports"
  | "transportTimeoutMs"
  | "jitter"
  | "resetOn"
  | "persist"
  | "requestTimeoutMs"
  | "queueTimeoutMs"
  | "queueCountMax"
  | "queueBytesMax"
  | "clock"
  | "random";

const DEFAULTS: Required<Pick<ClientOptions, Defaulted>> = {
  transports: TRANSPORT_NAMES,
  transportTimeoutMs: 4000,
  jitter: "full",
  resetOn: "stable",
  persist: "none",
  requestTimeoutMs: 10_000,
  queueTimeoutMs: 60_000,
  queueCountMax: 1000,
  queueBytesMax: 2 ** 20,
  clock: systemClock,
  random: Math.random,
};

/** The options with nothing left open that has a default. */
export type Settings = Omit<ClientOptions, Defaulted | "backoff" | "storage" | Means> &
  Required<Pick<ClientOptions, Defaulted>> & { readonly [Name in Means]: Globals[Name] | undefined } & {
    readonly backoff: Backoff;
    readonly report: (error: unknown) => void;
    readonly storage: { readonly session: StorageLike | undefined; readonly local: StorageLike | undefined };
    readonly surroundings: Surroundings;
  };

export function settle(options: ClientOptions): Settings {
  const { WebSocket, EventSource, fetch, AbortController } = globals;
  // What is `undefined` is not said.
  const said = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as ClientOptions;
  const settings = { WebSocket, EventSource, fetch, AbortController, ...DEFAULTS, ...said };
  const { persist, onError: report = systemReport, surroundings = systemSurroundings() } = settings;
  // Looked for only where it is used: Node.js warns at the mere look.
  const find = (which: "session" | "local", used: boolean): StorageLike | undefined =>
    said.storage?.[which] ?? (used ? systemStorage(which) : undefined);
  return {
    ...settings,
    backoff: { minMs: 1000, maxMs: 30_000, factor: 2, ...said.backoff },
    storage: {
      session: find("session", persist !== "none" || surroundings.hides),
      local: find("local", persist === "local"),
    },
    surroundings,
    report,
  };
}
