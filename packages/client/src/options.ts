/** Options of a client, and their defaults. */
import type { Backoff, Jitter } from "./backoff.ts";
import {
  type Clock,
  type StorageLike,
  type Surroundings,
  systemClock,
  systemReport,
  systemStorage,
  systemSurroundings,
  type WebSocketConstructor,
} from "./platform.ts";

export interface ClientOptions {
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
  /** Instead of `sessionStorage` and `localStorage`. */
  readonly storage?: { readonly session?: StorageLike; readonly local?: StorageLike };
  readonly surroundings?: Surroundings;
  readonly clock?: Clock;
  /** Between 0 and 1, as `Math.random`. */
  readonly random?: () => number;
}

/** The options with nothing left open. */
export interface Settings {
  readonly token: string | undefined;
  readonly getToken: (() => Promise<string>) | undefined;
  readonly client: string | undefined;
  readonly backoff: Backoff;
  readonly jitter: Jitter;
  readonly resetOn: "stable" | "open";
  readonly persist: "none" | "session" | "local";
  readonly requestTimeoutMs: number;
  readonly queueTimeoutMs: number;
  readonly queueCountMax: number;
  readonly queueBytesMax: number;
  readonly report: (error: unknown) => void;
  readonly WebSocket: WebSocketConstructor | undefined;
  readonly storage: { readonly session: StorageLike | undefined; readonly local: StorageLike | undefined };
  readonly surroundings: Surroundings;
  readonly clock: Clock;
  readonly random: () => number;
}

export function settle(options: ClientOptions): Settings {
  const persist = options.persist ?? "none";
  // Looked for only where it is used: Node.js warns at the mere look.
  const find = (which: "session" | "local"): StorageLike | undefined =>
    options.storage?.[which] ?? (persist === "none" ? undefined : systemStorage(which));
  return {
    token: options.token,
    getToken: options.getToken,
    client: options.client,
    backoff: { minMs: 1000, maxMs: 30_000, factor: 2, ...options.backoff },
    jitter: options.jitter ?? "full",
    resetOn: options.resetOn ?? "stable",
    persist,
    requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
    queueTimeoutMs: options.queueTimeoutMs ?? 60_000,
    queueCountMax: options.queueCountMax ?? 1000,
    queueBytesMax: options.queueBytesMax ?? 2 ** 20,
    report: options.onError ?? systemReport,
    WebSocket: options.WebSocket,
    storage: { session: find("session"), local: find("local") },
    surroundings: options.surroundings ?? systemSurroundings(),
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  };
}
