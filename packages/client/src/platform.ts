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

export interface BodyLike {
  getReader(): { read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }> };
}

export interface ResponseLike {
  readonly ok: boolean;
  readonly status: number;
  /** Missing where an answer can only be had as a whole. */
  readonly body?: BodyLike | null;
  text(): Promise<string>;
}

/** The part of `fetch` in use. `signal` is that of the `AbortController` that goes with it. */
export type FetchLike = (
  url: string,
  init: {
    readonly method: "POST";
    readonly body: string;
    readonly signal: unknown;
    readonly keepalive: boolean | undefined;
  },
) => Promise<ResponseLike>;

export type AbortControllerConstructor = new () => { readonly signal: unknown; abort(): void };

export type EventSourceConstructor = new (url: string) => {
  onmessage: ((event: never) => unknown) | null;
  onerror: ((event: never) => unknown) | null;
  close(): void;
};

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

interface PageEvent {
  readonly persisted?: boolean;
}

interface EventTargetLike {
  addEventListener(type: string, listener: (event: PageEvent) => unknown): void;
  removeEventListener(type: string, listener: (event: PageEvent) => unknown): void;
}

export interface Globals extends Partial<EventTargetLike> {
  readonly location?: { readonly href: string };
  readonly document?: EventTargetLike & { readonly hidden: boolean };
  readonly navigator?: { readonly onLine?: boolean };
  readonly WebSocket?: WebSocketConstructor;
  readonly EventSource?: EventSourceConstructor;
  readonly fetch?: FetchLike;
  readonly AbortController?: AbortControllerConstructor;
  readonly sessionStorage?: StorageLike;
  readonly localStorage?: StorageLike;
  readonly console?: { error(...words: unknown[]): void };
  reportError?(error: unknown): void;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** What the platform brings along. */
export const globals: Globals = globalThis as unknown as Globals;

/** Longer timers fire at once (32 bits). */
const TIMER_MS_MAX = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = globals.setTimeout(run, Math.min(ms, TIMER_MS_MAX));
    return { cancel: () => globals.clearTimeout(timer) };
  },
};

/** After the present turn, before anything else. `queueMicrotask` is not to be had on every device. */
export function soon(run: () => unknown): void {
  void Promise.resolve().then(run);
}

/** The page's storage; `undefined` outside of browsers, and where the user forbids it (reading the property throws). */
export function systemStorage(which: "session" | "local"): StorageLike | undefined {
  try {
    return globals[`${which}Storage`];
  } catch {
    return undefined;
  }
}

/** Shows an error that nobody listens for where a developer looks for errors. */
export function systemReport(error: unknown): void {
  if (globals.reportError) globals.reportError(error);
  else globals.console?.error(error);
}

type MaybeTarget = Partial<EventTargetLike> | undefined;

function listen(target: MaybeTarget, type: string, listener: (event: PageEvent) => unknown): () => void {
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
        return listen(page, "visibilitychange", () => page?.hidden || run());
      }
      if (event === "show") return listen(globals, "pageshow", ({ persisted }) => persisted && run());
      return listen(globals, event === "hide" ? "pagehide" : event, run);
    },
  };
}

/** Where to connect: `http` becomes `ws`, a bare host gets the path `/ws`, and without a url it is where the page came from. */
export function resolveUrl(url: string | undefined): string {
  const base = globals.location?.href;
  // Devices have no `URL`, and no page either that a url could be relative to.
  const absolute = base ? new URL(url ?? "/ws", base).href : url;
  if (!absolute) throw new TypeError("no url");
  return absolute
    .replace(/#.*/, "")
    .replace(/^http/i, "ws")
    .replace(/^(\w+:\/\/[^/?]+)\/?(?=\?|$)/, "$1/ws");
}
