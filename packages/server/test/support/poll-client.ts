/**
 * Clients that poll, and commands by POST, over real sockets.
 *
 *     const first = await poll(server.url, "channels=news");           // one request: status, cursor, frames
 *     const next = await poll(server.url, `channels=news&since=${first.cursor}`);
 *     const { replies } = await send(server.url, "token=…", [{ type: "publish", channel: "news", data: 1, id: 1 }]);
 *
 *     const poller = new Poller(server.url, "channels=news");          // polls until it is stopped, like a client without SDK
 *     await poller.until(() => poller.offsets("news").length === 10);
 *     poller.abort();                                                  // gives the open poll up; the next one follows
 *     await poller.stop();
 */
import type { MessageFrame, ServerFrame } from "@longwire/protocol";

export interface PollAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly cursor: string;
  readonly frames: readonly ServerFrame[];
  readonly error: { readonly code: number; readonly message: string } | undefined;
}

/** `init.body`: what makes it a POST. */
export async function poll(url: string, query: string, init: RequestInit = {}): Promise<PollAnswer> {
  const response = await fetch(`${url}/poll?${query}`, { ...(init.body !== undefined && { method: "POST" }), ...init });
  const text = await response.text();
  const { cursor = "", frames = [], error } = (text === "" ? {} : JSON.parse(text)) as Partial<PollAnswer>;
  return { status: response.status, headers: response.headers, cursor, frames, error };
}

export interface SendAnswer {
  readonly status: number;
  readonly replies: readonly ServerFrame[];
  readonly error: { readonly code: number; readonly message: string } | undefined;
}

/** The goodbye `slow`. */
const SLOW = 4201;

/** A line that is no text is sent as JSON. */
export async function send(url: string, query: string, lines: readonly unknown[]): Promise<SendAnswer> {
  const body = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
  const response = await fetch(`${url}/send?${query}`, { method: "POST", body });
  const text = await response.text();
  if (response.status !== 200) {
    const { error } = (text === "" ? {} : JSON.parse(text)) as Pick<SendAnswer, "error">;
    return { status: response.status, replies: [], error };
  }
  const replies = text.trimEnd().split("\n");
  return { status: 200, replies: replies.map((line) => JSON.parse(line) as ServerFrame), error: undefined };
}

export class Poller {
  /** Everything that came. */
  readonly frames: ServerFrame[] = [];
  answers = 0;
  aborted = 0;
  /** Polls that were refused since too much came while they were being opened. */
  slow = 0;
  cursor = "";
  #isStopped = false;
  #controller = new AbortController();
  readonly #end: Promise<void>;
  #wake: () => void = () => undefined;

  constructor(
    private readonly url: string,
    private readonly query: string | (() => string),
  ) {
    this.#end = this.#run();
  }

  /** What it has seen, by offset. */
  messages(channel: string): MessageFrame[] {
    return this.frames.filter((frame): frame is MessageFrame => frame.type === "message" && frame.channel === channel);
  }

  offsets(channel: string): number[] {
    return this.messages(channel).map(({ offset }) => offset ?? 0);
  }

  abort(): void {
    this.#controller.abort();
  }

  async until(isEnough: () => boolean, timeoutMs = 15_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!isEnough()) {
      if (performance.now() > deadline)
        throw new Error(`not within ${timeoutMs} ms: ${JSON.stringify(this.frames.slice(-5))}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#controller.abort();
    await this.#end;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      this.#controller = new AbortController();
      const query = typeof this.query === "string" ? this.query : this.query();
      try {
        const answer = await poll(this.url, `${query}&since=${this.cursor}`, { signal: this.#controller.signal });
        if (answer.error?.code === SLOW) {
          this.slow++;
          continue;
        }
        if (answer.status !== 200) throw new Error(`refused: ${answer.status} ${answer.error?.message}`);
        this.answers++;
        this.cursor = answer.cursor;
        this.frames.push(...answer.frames);
      } catch (error) {
        if (!this.#controller.signal.aborted) throw error;
        this.aborted++;
      }
      this.#wake();
    }
  }
}
