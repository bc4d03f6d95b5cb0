/**
 * Recovery: brings a subscription from where it stands to the live stream, without a hole and without a repetition.
 *
 * The subscription is `catching` meanwhile: live publications go to the channel's ring, not to it. The replay reads the
 * history page by page, as fast as the client takes it; when nothing is left but what the ring holds, the rest is sent and
 * the session joins the live stream in one synchronous block, so nothing can slip in between.
 */
import type { Position } from "@longwire/protocol";
import { Disconnect } from "../base/failures.ts";
import type { HistoryPage, Publication } from "../ports/broker.ts";
import type { Core } from "./deps.ts";
import { hasEnded, isMeantFor } from "./hub.ts";
import type { LocalChannel, Subscription } from "./model.ts";

/** Where a replay starts. `inbox`: what is still kept is wanted even if something before it is gone. */
export interface ReplayStart {
  readonly from: Position | "earliest";
  readonly inbox: boolean;
}

/** Rounds without progress after which a replay is given up: the channel is being mended for so long that something is wrong. */
const IDLE_ROUNDS_MAX = 1000;

/**
 * Decides from where the stream continues, calls `answer` with that, and replays. Resolves when the answer was given; the
 * replay goes on by itself.
 */
export async function recover(
  core: Core,
  subscription: Subscription,
  start: ReplayStart,
  answer: (position: Position, recovered: boolean) => void,
): Promise<void> {
  const { page, recovered } = await firstPage(core, subscription.channel, start);
  if (hasEnded(subscription)) return;
  if (page === undefined) {
    answerFromTop(core, subscription, answer);
    return;
  }
  const first = page.publications[0];
  const offset = first === undefined ? page.top.offset : first.offset - 1;
  subscription.position = offset;
  answer({ epoch: page.top.epoch, offset }, recovered);
  replay(core, subscription, page, start.inbox).catch((error: unknown) => {
    core.log.error("replay failed", { channel: subscription.channel.name, session: subscription.session.id, error });
    core.goodbye(subscription.session, new Disconnect("unavailableNow"));
  });
  // A page was read and framed: the session's next command has to wait for others.
  if (first !== undefined) await core.turn.end();
}

/** Goes live at the top of what is delivered here. */
export function answerFromTop(
  core: Core,
  subscription: Subscription,
  answer: (position: Position, recovered: boolean) => void,
  recovered = false,
): void {
  const { channel } = subscription;
  // Going live hands the answer over first, and whoever is handed it may ask for the cursor behind it.
  subscription.position = channel.delivered;
  answer({ epoch: channel.epoch, offset: channel.delivered }, recovered);
  core.hub.goLive(subscription);
}

async function firstPage(
  core: Core,
  channel: LocalChannel,
  { from, inbox }: ReplayStart,
): Promise<{ page: HistoryPage | undefined; recovered: boolean }> {
  const { recoveryMax } = core.settings;
  const page = await read(core, channel, from);
  const tooFar = (candidate: HistoryPage): boolean => {
    const first = candidate.publications[0];
    return first !== undefined && candidate.top.offset - first.offset >= recoveryMax;
  };
  if (page.reached && !tooFar(page)) return { page, recovered: true };
  if (from !== "earliest" && !inbox) return { page: undefined, recovered: false };
  const recovered = from === "earliest";
  const kept = page.reached ? page : await read(core, channel, "earliest");
  if (!tooFar(kept)) return { page: kept, recovered };
  const nearest = await read(core, channel, { epoch: kept.top.epoch, offset: kept.top.offset - recoveryMax });
  return { page: nearest.reached ? nearest : undefined, recovered: false };
}

function read(core: Core, channel: LocalChannel, from: Position | "earliest"): Promise<HistoryPage> {
  // A quarter of the budget: the client can read one page while the next is on its way, and a page never fills the queue.
  return core.hub.broker.history(channel.name, { from, limit: 1000, bytesMax: core.settings.queueBytesMax / 4 });
}

async function replay(core: Core, subscription: Subscription, first: HistoryPage, inbox: boolean): Promise<void> {
  const { channel, session } = subscription;
  let { epoch } = first.top;
  const half = core.settings.queueBytesMax / 2;
  let page = first;
  let idleRounds = 0;
  for (;;) {
    core.hub.mending.catchUp(channel, page.top);
    const before = subscription.position;
    // Ahead of the hub, or behind it, in another epoch: what it sent would carry the hub's, in which its offset may be another's.
    const whole = channel.epoch !== epoch || send(core, subscription, page.publications);
    const moved = subscription.position > before;
    idleRounds = moved ? 0 : idleRounds + 1;
    // What does not fit beside anything else waits for an empty queue.
    if (!whole) await drained(subscription, moved ? half / 2 : 0);
    else if (session.connection.buffered() > half) await drained(subscription, half);
    else if (!page.more && finish(core, subscription, epoch)) return;
    if (hasEnded(subscription)) return;
    // A client that reads fast must not hold the loop until it has everything.
    await core.turn.end();
    if (idleRounds > IDLE_ROUNDS_MAX) throw new Error(`the replay stands still at offset ${subscription.position}`);
    page = await read(core, channel, { epoch, offset: subscription.position });
    if (hasEnded(subscription)) return;
    if (page.reached) {
      if (page.top.epoch === epoch) continue;
      // Another epoch, in which its position is good: it goes on, and has to know that one for when it comes back.
      epoch = page.top.epoch;
      const position = { epoch, offset: subscription.position };
      core.outbox.push(session, { type: "subscribed", channel: channel.name, ...position, recovered: true });
      continue;
    }
    // Trimmed or renumbered while the client was reading: say so and go on with what comes.
    const again = (position: Position): void => {
      core.outbox.push(session, { type: "subscribed", channel: channel.name, ...position, recovered: false });
    };
    if (inbox) await recover(core, subscription, { from: "earliest", inbox }, again);
    else answerFromTop(core, subscription, again);
    return;
  }
}

/** The synchronous block: the rest from the ring, then live. False when the ring does not reach back far enough, or holds too much. */
function finish(core: Core, subscription: Subscription, epoch: string): boolean {
  const { channel } = subscription;
  // Ahead of the hub: live, it would be given again what the replay has brought.
  if (channel.mending || channel.epoch !== epoch || subscription.position > channel.delivered) return false;
  const rest = restOf(channel, subscription.position);
  if (rest === undefined || !send(core, subscription, rest)) return false;
  core.hub.goLive(subscription);
  return true;
}

/** Publications after `position` that were delivered to the others, or undefined when the ring does not hold them all. */
function restOf(
  channel: Pick<LocalChannel, "delivered" | "ring">,
  position: number,
): readonly Publication[] | undefined {
  if (position >= channel.delivered) return [];
  return channel.ring?.after(position);
}

/**
 * Sends what the subscription has not got, up to what is delivered to the others: anything newer will come live. Stops, with
 * false, before half the budget is exceeded; pages do not count what a frame says of its channel.
 */
function send(core: Core, subscription: Subscription, publications: readonly Publication[]): boolean {
  const { channel, session } = subscription;
  const frame = session.protocol.framer(channel.name);
  core.outbox.flush(session);
  let queued = session.connection.buffered();
  let whole = true;
  for (const publication of publications) {
    if (publication.offset <= subscription.position || publication.offset > channel.delivered) continue;
    const framed = isMeantFor(subscription, publication) ? frame(publication, channel.epoch) : null;
    if (framed !== null) {
      const bytes = typeof framed === "string" ? Buffer.byteLength(framed) : framed.length;
      whole = queued === 0 || queued + bytes <= core.settings.queueBytesMax / 2;
      if (!whole) break;
      queued += bytes;
    }
    // First, since whoever is handed the frame may ask for the cursor behind it.
    subscription.position = publication.offset;
    if (framed === null) continue;
    core.hub.deliveries++;
    core.outbox.pushFrame(session, framed);
  }
  core.outbox.flush(session);
  return whole;
}

/**
 * Waits until the client has taken all but so many bytes, or is gone. What waits for the end of this turn does not count: nobody
 * would wake us when it goes.
 */
async function drained(subscription: Subscription, bytes: number): Promise<void> {
  const { session } = subscription;
  while (!hasEnded(subscription) && session.connection.buffered() > bytes) {
    await new Promise<void>((resolve) => {
      session.drainWaiters ??= [];
      session.drainWaiters.push(resolve);
    });
  }
}
