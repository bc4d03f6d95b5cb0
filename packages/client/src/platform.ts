/**
 * The edge to browsers, Node.js, Bun, Deno and devices: small structural types with only the members used, and the only
 * place that looks at `globalThis`.
 */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Unix milliseconds. */
  now(): number;
  after(ms: number, run: () => void): Timer;
}

export interface WebSocketLike {
  onopen: ((event: never) => unknown) | null;
  onmessage: ((event: never) => unknown) | null;
  onclose: ((event: never) => unknown) | null;
  onerror: ((event: never) => unknown) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string) => WebSocketLike;

export interface StorageLike {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** `visible`: the page came to the front. `hide`: it is being left. `show`: it came back from the back-forward cache. */
export type SurroundingsEvent = "online" | "offline" | "visible" | "hide" | "show";

/** What goes on around the client: network and page. */
export interface Surroundings {
  /** `false` only where the platform is sure that there is no network. */
  online(): boolean;
  /** Whether `hide` is told before the page goes: what must survive it can then be written as late as that. */
  readonly hides: boolean;
  on(event: SurroundingsEvent, run: () => void): () => void;
}

interface EventTargetLike {
  addEventListener(type: string, listener: (event: { readonly persisted?: boolean }) => void): void;
  removeEventListener(type: string, listener: (event: { readonly persisted?: boolean }) => void): void;
}

interface Globals extends Partial<EventTargetLike> {
  readonly location?: { readonly href: string };
  readonly document?: EventTargetLike & { readonly visibilityState: string };
  readonly navigator?: { readonly onLine?: boolean };
  readonly WebSocket?: WebSocketConstructor;
  readonly sessionStorage?: StorageLike;
  readonly localStorage?: StorageLike;
  readonly console?: { error(...words: unknown[]): void };
  reportError?(error: unknown): void;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

const globals = globalThis as unknown as Globals;

/** Longer timers fire at once (32 bits). */
const TIMER_MS_MAX = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = globals.setTimeout(run, Math.min(ms, TIMER_MS_MAX));
    return { cancel: () => globals.clearTimeout(timer) };
  },
};

export function systemWebSocket(): WebSocketConstructor {
  const found = globals.WebSocket;
  if (found === undefined) throw new TypeError("There is no WebSocket here: pass one as `options.WebSocket`.");
  return found;
}

/** The page's storage; `undefined` outside of browsers, and where the user forbids it (reading the property throws). */
export function systemStorage(which: "session" | "local"): StorageLike | undefined {
  try {
    return which === "session" ? globals.sessionStorage : globals.localStorage;
  } catch {
    return undefined;
  }
}

/** Shows an error that nobody listens for where a developer looks for errors. */
export function systemReport(error: unknown): void {
  if (globals.reportError !== undefined) globals.reportError(error);
  else globals.console?.error(error);
}

type MaybeTarget = Partial<EventTargetLike> | undefined;

function listen(target: MaybeTarget, type: string, run: (persisted: boolean) => void): () => void {
  const listener = (event: { readonly persisted?: boolean }): void => run(event.persisted === true);
  target?.addEventListener?.(type, listener);
  return () => target?.removeEventListener?.(type, listener);
}

export function systemSurroundings(): Surroundings {
  const page = globals.document;
  return {
    online: () => globals.navigator?.onLine !== false,
    hides: page !== undefined,
    on(event, run) {
      if (event === "visible") {
        return listen(page, "visibilitychange", () => page?.visibilityState === "visible" && run());
      }
      if (event === "show") return listen(globals, "pageshow", (persisted) => persisted && run());
      return listen(globals, event === "hide" ? "pagehide" : event, run);
    },
  };
}

/** Where to connect: `http` becomes `ws`, a bare host gets the path `/ws`, and without a url it is where the page came from. */
export function resolveUrl(url: string | undefined): string {
  const base = globals.location?.href;
  if (url === undefined && base === undefined) throw new TypeError("Outside of a page the client needs a url.");
  const resolved = new URL(url ?? "/ws", base);
  resolved.protocol = resolved.protocol.replace("http", "ws");
  if (resolved.pathname === "/") resolved.pathname = "/ws";
  resolved.hash = "";
  return resolved.href;
}
