/**
 * One-way transports, on which the server speaks and a request says everything (SPEC.md, OW): this link makes a connection of
 * them. Whenever the greeting or the channels change, it gives its request up and opens the next with all of it. The
 * positions in it see to it that nothing is lost and nothing comes twice. What is no matter of channels is posted.
 */
import type { Command, ConnectCommand, ERRORS, ServerFrame } from "@longwire/protocol";
import { decodeFrame } from "../decode.ts";
import { soon } from "../platform.ts";
import { endpoint, type Failed } from "./http.ts";
import { type OneWaySettings, outgoing } from "./outgoing.ts";
import type { Link, Transport, TransportHandlers, TransportName } from "./transport.ts";

/** One request, whose answer is what the server says. */
export interface Opening {
  /** Of the WebSocket. */
  readonly url: string;
  /** `connect`, and `subscribe` for each channel, in lines. */
  readonly lines: string;
  /** An answer was complete: what it said need not be said again (OW-6). */
  readonly quiet: boolean;
  readonly received: (message: ServerFrame | string) => void;
  /** This answer is complete; the next request follows. */
  readonly answered: () => void;
  readonly failed: Failed;
}

/** Makes a request; call the result to give it up. What it tells then is not heard. */
export type Opener = (opening: Opening) => () => void;

// Typed by the table instead of read from it, for size.
const ALREADY_SUBSCRIBED: (typeof ERRORS)["alreadySubscribed"]["code"] = 107;

/** What counts here of any frame. */
interface Noted {
  readonly type: ServerFrame["type"];
  readonly id?: number;
  readonly code?: number;
  readonly channel?: string;
  readonly epoch?: string;
  readonly recovered?: boolean;
  readonly expires?: number;
}

export function oneWayTransport(name: TransportName, settings: OneWaySettings, opener: Opener): Transport {
  return { name, open: (url, handlers) => new OneWayLink(settings, opener, url, handlers) };
}

class OneWayLink implements Link {
  readonly #opener: Opener;
  readonly #url: string;
  readonly #handlers: TransportHandlers;
  readonly #post: (text: string) => void;
  /** The `id` that wants an answer, by channel. */
  readonly #asked = new Map<string, number | undefined>();
  /** What the client knows of its channels: the epoch, and the `id` that asked; without one the server did it by itself. */
  readonly #told = new Map<string, { readonly id: number | undefined; readonly epoch: string | undefined }>();
  /** The `id` of the `refresh` that the next greeting answers. */
  #refresh: number | undefined;
  #cancel: (() => void) | undefined;
  /** What an older request tells is of no interest. */
  #turn = 0;
  #changed = false;
  /** The server owes the request under way an answer: the next one waits for it, and takes along what changes until then. */
  #asking = false;
  #quiet = false;
  #closed = false;

  constructor(settings: OneWaySettings, opener: Opener, url: string, handlers: TransportHandlers) {
    this.#opener = opener;
    this.#url = url;
    this.#handlers = handlers;
    this.#post = outgoing(
      settings,
      () => {
        const [{ session = "", token = "" }] = handlers.standing() as [Partial<ConnectCommand>];
        return endpoint(url, "send", `session=${encodeURIComponent(session)}&token=${encodeURIComponent(token)}`);
      },
      (line) => this.#tell(line),
      (...end) => this.#failed(...end),
    );
    soon(() => this.#closed || handlers.opened());
  }

  send(text: string): void {
    const { type, id, channel = "" } = JSON.parse(text) as Command & { channel?: string };
    if (type === "subscribe") this.#asked.set(channel, id);
    else if (type === "unsubscribe") {
      this.#asked.delete(channel);
      // What the server subscribes by itself cannot be ended from here (OW-1). Nobody listens to it any more.
      if (this.#told.get(channel)?.id) this.#told.delete(channel);
      soon(() => this.#tell({ type: "unsubscribed", id, channel } as ServerFrame));
    } else if (type === "connect" || type === "ping" || type === "refresh") {
      // Only a new request tells whether the way still leads to the server, and brings the session a new token. Its answer
      // begins at once unless it is quiet.
      this.#quiet = false;
      if (type === "refresh") this.#refresh = id;
    } else {
      if (type !== "pong") this.#post(text);
      return;
    }
    this.#change();
  }

  close(): void {
    this.#closed = true;
    this.#turn++;
    this.#cancel?.();
  }

  #change(): void {
    this.#changed = true;
    // What changes in one moment shares a request.
    soon(() => {
      if (this.#changed && !this.#asking && !this.#closed) this.#open();
    });
  }

  #open(): void {
    this.#cancel?.();
    this.#changed = false;
    const turn = ++this.#turn;
    const commands = this.#handlers.standing().map((command) => ({
      ...command,
      id: this.#asked.get((command as { readonly channel?: string }).channel ?? ""),
    }));
    this.#asking = !this.#quiet || commands.some(({ id }) => id);
    this.#cancel = this.#opener({
      url: this.#url,
      lines: commands.map((command) => JSON.stringify(command)).join("\n"),
      quiet: this.#quiet,
      received: (message) => turn === this.#turn && this.#received(message),
      answered: () => {
        if (turn !== this.#turn) return;
        this.#quiet = !this.#changed;
        this.#open();
      },
      failed: (...end) => turn === this.#turn && this.#failed(...end),
    });
  }

  #received(message: ServerFrame | string): void {
    this.#asking = false;
    if (this.#changed) this.#change();
    const frame = decodeFrame(message);
    if (!frame || this.#isNews(frame)) this.#tell(frame ?? message);
  }

  /** Each request is told anew what is subscribed; the client hears of it once. */
  #isNews(frame: ServerFrame): boolean {
    const { type, id, code, channel = "", epoch, recovered, expires } = frame as Noted;
    for (const [asked, askedId] of this.#asked) {
      if (!id || id !== askedId) continue;
      this.#asked.delete(asked);
      // The server did it by itself, and the client had left it: it has to hear of that again.
      if (code === ALREADY_SUBSCRIBED && this.#told.delete(asked)) {
        this.#quiet = false;
        this.#change();
      }
    }
    if (type === "connected" && this.#refresh) {
      this.#tell({ type: "refreshed", id: this.#refresh, expires } as ServerFrame);
      this.#refresh = undefined;
    }
    if (type === "unsubscribed") this.#told.delete(channel);
    if (type !== "subscribed") return true;
    // The next position has to be one of the new epoch.
    const known = !id && recovered && this.#told.get(channel)?.epoch === epoch;
    this.#told.set(channel, { id, epoch });
    return !known;
  }

  #tell(message: ServerFrame | string): void {
    if (!this.#closed) this.#handlers.received(message);
  }

  #failed(...end: Parameters<Failed>): void {
    if (this.#closed) return;
    this.close();
    this.#handlers.closed(...end);
  }
}
