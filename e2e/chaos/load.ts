/**
 * Publishers: so many publications per second to many channels, in batches, each repeated with its idempotency key until it is acknowledged. And
 * beside them one that says everything once, to see that what is refused is not kept half.
 */
import type { Position } from "@longwire/protocol";
import { API_KEY } from "longwire/test/server";

const UNAVAILABLE = 201;
const LANES = 8;
const ANSWER_MS = 4000;
const RETRY_MS = 50;
const ONCE_EVERY_MS = 100;
const BATCH_MAX = 25;

export interface Acknowledged extends Position {
  readonly number: number;
}

/** Outcome of something said once. */
export type Outcome = "acknowledged" | "unavailable" | "unanswered" | "otherwise";

export interface Load {
  /** Acknowledged publications by channel; the last is the channel's total. */
  readonly acknowledged: ReadonlyMap<string, readonly Acknowledged[]>;
  /** `channel number` of what was said more than once. */
  readonly repeated: ReadonlySet<string>;
  /** Answers `unavailable`. */
  readonly refused: number;
  /** Answers that nobody promised. */
  readonly odd: readonly string[];
  /** What was said once to `once`, by its number. */
  readonly once: readonly Outcome[];
  /** Ends when everything that was said is acknowledged. */
  stop(): Promise<void>;
  /** One more to each channel. */
  sayGoodbye(): Promise<void>;
}

export interface LoadOptions {
  readonly url: string;
  readonly channels: readonly string[];
  readonly perSecond: number;
  /** The channel of what is said once. */
  readonly once: string;
}

interface Result {
  readonly epoch?: string;
  readonly offset?: number;
  readonly error?: { readonly code: number; readonly message: string };
}

async function post(url: string, path: string, body: unknown): Promise<{ status: number; body: unknown } | undefined> {
  try {
    const response = await fetch(url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return { status: response.status, body: await response.json() };
  } catch {
    // The server, or the way to it, is away: nobody knows whether it was kept.
    return undefined;
  }
}

class Publishers implements Load {
  readonly acknowledged = new Map<string, Acknowledged[]>();
  readonly repeated = new Set<string>();
  readonly odd: string[] = [];
  readonly once: Outcome[] = [];
  refused = 0;
  #isOver = false;
  readonly #running: Promise<unknown>;

  constructor(private readonly options: LoadOptions) {
    const { channels } = options;
    for (const channel of channels) this.acknowledged.set(channel, []);
    const lanes = Array.from({ length: Math.min(LANES, channels.length) }, (_, lane) =>
      channels.filter((_, at) => at % LANES === lane),
    );
    this.#running = Promise.all([...lanes.map((lane) => this.#publish(lane)), this.#sayOnce()]);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async sayGoodbye(): Promise<void> {
    const { channels } = this.options;
    for (let at = 0; at < channels.length; at += BATCH_MAX) {
      let open = channels.slice(at, at + BATCH_MAX);
      while (open.length > 0) open = await this.#say(open);
    }
  }

  /** One publication of a channel is on its way at a time: the next number follows when it is acknowledged. */
  async #publish(channels: readonly string[]): Promise<void> {
    const size = Math.min(BATCH_MAX, channels.length);
    const everyMs = (1000 * size * Math.min(LANES, this.options.channels.length)) / this.options.perSecond;
    let open: string[] = [];
    let turn = 0;
    let dueAt = performance.now();
    while (!this.#isOver || open.length > 0) {
      while (!this.#isOver && open.length < size) open.push(channels[turn++ % channels.length] ?? "");
      open = await this.#say([...new Set(open)]);
      if (open.length > 0) await Bun.sleep(RETRY_MS);
      // What an outage held up is not made up for.
      dueAt = Math.max(dueAt + everyMs, performance.now() - everyMs);
      await Bun.sleep(dueAt - performance.now());
    }
  }

  /** Says the next number of each channel; returns the channels that have to say it again. */
  async #say(channels: readonly string[]): Promise<string[]> {
    const publications = channels.map((channel) => {
      const number = (this.acknowledged.get(channel)?.length ?? 0) + 1;
      return { channel, data: { number }, key: `${channel}-${number}` };
    });
    const answer = await post(this.options.url, "/api/batch", { publications });
    const results = (answer?.body as { results?: Result[] } | undefined)?.results;
    if (answer !== undefined && results === undefined) this.#oddity(answer.status, JSON.stringify(answer.body));
    return publications.flatMap(({ channel, data }, at) => {
      const { epoch, offset, error } = results?.[at] ?? {};
      if (epoch !== undefined && offset !== undefined) {
        this.acknowledged.get(channel)?.push({ number: data.number, epoch, offset });
        return [];
      }
      this.repeated.add(`${channel} ${data.number}`);
      if (error !== undefined) this.#oddity(error.code, error.message);
      return [channel];
    });
  }

  #oddity(code: number, text: string): void {
    if (code === UNAVAILABLE || code === 503) this.refused++;
    else this.odd.push(`${code} ${text}`);
  }

  async #sayOnce(): Promise<void> {
    const { url, once: channel } = this.options;
    const saying: Promise<void>[] = [];
    while (!this.#isOver) {
      const number = this.once.push("unanswered");
      saying.push(
        post(url, "/api/publish", { channel, data: { number } }).then((answer) => {
          this.once[number - 1] = outcomeOf(answer);
          if (this.once[number - 1] === "otherwise") this.odd.push(JSON.stringify(answer));
        }),
      );
      await Bun.sleep(ONCE_EVERY_MS);
    }
    await Promise.all(saying);
  }
}

function outcomeOf(answer: { readonly status: number; readonly body: unknown } | undefined): Outcome {
  if (answer === undefined) return "unanswered";
  if (answer.status === 200) return "acknowledged";
  return answer.status === 503 ? "unavailable" : "otherwise";
}

export function startLoad(options: LoadOptions): Load {
  return new Publishers(options);
}
