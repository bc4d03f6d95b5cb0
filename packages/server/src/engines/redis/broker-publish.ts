/**
 * Publishes: sends the script, and finds out what has become of a publish whose answer was lost.
 *
 * The message of an own publication comes before the answer where both use one connection, so the sink has it first (EN-2). Where they come on two
 * (`waitReplicas`), or the message was lost, the answer waits for the message a while; then the sink is told of the top, and reads it. To hand the
 * publication to the sink out of the answer instead would bring it ahead of what others have published before it: a hole, and a look into the history,
 * at each publish.
 */
import type { Position } from "@longwire/protocol";
import type { Clock } from "../../base/clock.ts";
import { ReplyError } from "../../base/failures.ts";
import { newEpoch } from "../../base/ids.ts";
import type { Draft, Published, Sink } from "../../ports/broker.ts";
import type { EngineSettings } from "../../ports/engine.ts";
import { digestOf } from "../idempotency.ts";
import type { Followed } from "./broker-watch.ts";
import { AnswerLost, notSent } from "./failures.ts";
import type { ChannelKeys } from "./keys.ts";
import type { Link } from "./link.ts";
import { tailOf } from "./messages.ts";
import { STORE } from "./scripts.ts";

/** How long an answer waits for its message. */
const MESSAGE_MS = 1_000;

/** How long it is tried to find out what has become of a publish, and how often at most. */
const FIND_OUT_MS = 10_000;
const FIND_OUT_PAUSE_MS = 100;
const ATTEMPTS = 128;

/** Clocks of a master and of the replica that has taken over may differ so much: what seems to be from before a publish may be from after it. */
const CLOCKS_DIFFER_MS = 5_000;

/** Channels of which the last answer is remembered: publishes that are lost were sent after it. */
const ANSWERS_MAX = 4_096;

/** An own publication that is on its way, of a channel that is followed here. */
interface Own {
  readonly followed: Followed;
  /** Where its message has come; with `keep: false`, the top at that time. */
  seen: Position | undefined;
  isUnfollowed?: true;
  /** Called when either becomes so. */
  wake: (() => void) | undefined;
}

interface Sent {
  readonly channel: string;
  readonly keys: readonly string[];
  readonly args: readonly string[];
  readonly counter: number;
  /** As long as it is on its way. */
  readonly own: Own | undefined;
  readonly followed: Followed | undefined;
  readonly sentAt: number;
}

type Answer = readonly [status: string, epoch: string, top: number, receivers: number];

export interface PublisherDeps {
  readonly link: Link;
  readonly sink: Pick<Sink, "top">;
  readonly clock: Clock;
  readonly settings: EngineSettings;
  /** Of this process, random: ids of its publications begin with it. */
  readonly mark: string;
  readonly waitReplicas: number;
}

export class Publisher {
  #counter = 0;
  #closed = false;
  readonly #own = new Map<string, Own>();
  /** Channels of which publishes are being found out. Others wait, or they would overtake them. */
  readonly #lost = new Map<string, Promise<unknown>>();

  /** Of channels that are not followed, in the order of their last answers. */
  readonly #answered = new Map<string, Position>();

  constructor(private readonly deps: PublisherDeps) {}

  /** Nothing is found out any more. */
  close(): void {
    this.#closed = true;
  }

  /** A message of a channel has come; `id` is that of its publication. Called after the sink has it. */
  seen(id: string, position: Position): void {
    const own = this.#own.get(id);
    if (own === undefined) return;
    own.seen = position;
    own.wake?.();
  }

  /** A channel is not followed any more: nobody waits for its messages. */
  unfollowed(followed: Followed): void {
    for (const own of this.#own.values()) {
      if (own.followed !== followed) continue;
      own.isUnfollowed = true;
      own.wake?.();
    }
  }

  async publish(channel: string, keys: ChannelKeys, draft: Draft, followed: Followed | undefined): Promise<Published> {
    if (this.#lost.has(channel)) throw notSent("it is being found out what has become of an earlier publication");
    const counter = ++this.#counter;
    const id = `${this.deps.mark}.${counter.toString(36)}`;
    const own: Own | undefined = followed === undefined ? undefined : { followed, seen: undefined, wake: undefined };
    const sent = this.#request(channel, keys, draft, { counter, id, own, followed });
    if (own !== undefined) this.#own.set(id, own);
    try {
      const [status, epoch, offset, followers] = await this.#send(sent);
      if (status === "conflict") throw new ReplyError("conflict");
      if (status === "repeated") return { epoch, offset, repeated: true, followers };
      if (status !== "ok") throw notSent("it cannot be found out whether it was kept");
      if (own === undefined) this.#remember(channel, { epoch, offset });
      else await this.#handedOn(channel, own, { epoch, offset });
      return { epoch, offset, repeated: false, followers };
    } finally {
      this.#own.delete(id);
    }
  }

  #remember(channel: string, position: Position): void {
    if (!this.#answered.delete(channel) && this.#answered.size >= ANSWERS_MAX)
      for (const oldest of this.#answered.keys()) {
        this.#answered.delete(oldest);
        break;
      }
    this.#answered.set(channel, position);
  }

  #request(
    channel: string,
    keys: ChannelKeys,
    draft: Draft,
    { counter, id, own, followed }: Pick<Sent, "counter" | "own" | "followed"> & { readonly id: string },
  ): Sent {
    const { settings, link, clock, mark } = this.deps;
    const { size, ttlMs } = settings.retentionOf(channel);
    const names = [keys.meta, keys.origin, keys.names, keys.list];
    if (draft.key !== undefined) names.push(keys.idempotency + draft.key);
    const args = [
      newEpoch(),
      String(settings.positionTtlMs),
      String(size),
      String(ttlMs),
      draft.keep ? "1" : "0",
      link.publishCommand,
      keys.messages,
      tailOf(draft, id),
      mark,
      String(counter * ATTEMPTS),
      channel,
      draft.key === undefined ? "" : digestOf(draft),
      String(settings.idempotencyMs),
    ];
    return { channel, keys: names, args, counter, own, followed, sentAt: clock.uptime() };
  }

  async #send(sent: Sent): Promise<Answer> {
    try {
      return (await this.deps.link.run(STORE, sent.keys, sent.args, true)) as Answer;
    } catch (error) {
      if (!(error instanceof AnswerLost)) throw error;
      return await this.#inTurn(sent);
    }
  }

  /** One after the other per channel, in the order in which they were called. */
  async #inTurn(sent: Sent): Promise<Answer> {
    const { channel, own, followed } = sent;
    // Now, before anything comes on another connection: all that has been seen is from before this one, unless it is itself.
    const before = own?.seen === undefined ? (followed?.seen ?? this.#answered.get(channel)) : oneLess(own.seen);
    const queue = this.#lost.get(channel) ?? Promise.resolve();
    const found = queue.then(() => this.#findOut(sent, before));
    const settled = found.catch(() => undefined);
    this.#lost.set(channel, settled);
    try {
      return await found;
    } finally {
      if (this.#lost.get(channel) === settled) this.#lost.delete(channel);
    }
  }

  /** Asks for so long until it is known. */
  async #findOut(sent: Sent, known: Position | undefined): Promise<Answer> {
    const { link, clock, waitReplicas } = this.deps;
    const { own, keys, args, counter, sentAt } = sent;
    if (own?.seen !== undefined && waitReplicas === 0) return ["ok", own.seen.epoch, own.seen.offset, 1];
    const until = clock.uptime() + FIND_OUT_MS;
    for (let attempt = 1; attempt < ATTEMPTS; attempt++) {
      const again = [...args];
      again[9] = String(counter * ATTEMPTS + attempt);
      again.push(String(clock.uptime() - sentAt + CLOCKS_DIFFER_MS), known?.epoch ?? "", String(known?.offset ?? 0));
      try {
        const answer = (await link.run(STORE, keys, again, true)) as Answer;
        // Where it was stored before, its message is gone with the connection.
        const [status, epoch, offset] = answer;
        if (status === "ok" && own !== undefined && own.seen === undefined) {
          own.seen = { epoch, offset };
          this.deps.sink.top(sent.channel, own.seen);
        }
        return answer;
      } catch (error) {
        const isAway = error instanceof AnswerLost || (error instanceof ReplyError && error.error === "unavailable");
        if (!isAway) throw error;
        if (clock.uptime() > until || this.#closed) break;
      }
      await new Promise<void>((resolve) => clock.after(FIND_OUT_PAUSE_MS, resolve));
    }
    throw notSent("Redis is away; it may have been kept");
  }

  async #handedOn(channel: string, own: Own, position: Position): Promise<void> {
    if (own.seen !== undefined || own.isUnfollowed === true) return;
    const { sink, clock } = this.deps;
    await new Promise<void>((resolve) => {
      const timer = clock.after(MESSAGE_MS, () => {
        sink.top(channel, position);
        resolve();
      });
      own.wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

function oneLess({ epoch, offset }: Position): Position {
  return { epoch, offset: offset - 1 };
}
