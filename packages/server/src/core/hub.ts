/**
 * Hub: who follows which channel in this process. It is the engine's sink: every publication passes here, is put in order,
 * framed once per wire form and handed to the topics of the transports, or to single sessions that have none.
 *
 * Per channel the hub knows the position up to which its subscribers have everything. The next offset is delivered, an old
 * one dropped; a hole or another epoch is mended from the history before anything newer goes out.
 */
import { type Member, personalUser, type Position } from "@longwire/protocol";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { itemsOf, sizeOf, withItem, withoutItem } from "../base/few.ts";
import { Ring } from "../base/ring.ts";
import type { Turn } from "../base/turn.ts";
import type { Broker, Publication, Sink } from "../ports/broker.ts";
import { channelOptions } from "./channel-options.ts";
import type { Outbox } from "./outbox.ts";
import { masked } from "./member.ts";
import { LocalChannel, NO_GROUPS, type Session, Subscription, type TopicGroup } from "./model.ts";
import type { Settings } from "./settings.ts";

/** What one turn hands to a channel's topics. More waits for the next turn, so that a backed-up socket is noticed in between. */
const TURN_BYTES_MAX = 256 * 1024;

/** A channel with more than this waiting takes no publish: see `congested`. */
const BACKLOG_BYTES_MAX = 16 * 1024 * 1024;

/** What a frame has beside channel, name, user and data. */
const FRAME_BYTES = 64;

const RING_SIZE_MAX = 256;
const RING_BYTES_MAX = 256 * 1024;
const MEND_PAGE = { limit: 500, bytesMax: TURN_BYTES_MAX } as const;
const MEND_RETRY_MS = 1000;

export interface HubDeps {
  readonly settings: Settings;
  readonly outbox: Outbox;
  readonly turn: Turn;
  readonly clock: Clock;
  readonly log: Logger;
  readonly findSession: (id: string) => Session | undefined;
}

export class Hub implements Sink {
  readonly #channels = new Map<string, LocalChannel>();
  #broker: Broker | undefined;
  /** Publications handed to subscriptions since the start. */
  deliveries = 0;
  publications = 0;
  subscriptionCount = 0;

  constructor(private readonly deps: HubDeps) {}

  /** The engine is opened with the hub as its sink, so it can only be handed in afterwards. */
  attach(broker: Broker): void {
    this.#broker = broker;
  }

  get broker(): Broker {
    if (this.#broker === undefined) throw new Error("the hub has no broker yet");
    return this.#broker;
  }

  channel(name: string): LocalChannel | undefined {
    return this.#channels.get(name);
  }

  channelNames(): IterableIterator<string> {
    return this.#channels.keys();
  }

  get channelCount(): number {
    return this.#channels.size;
  }

  subscriberCount(name: string): number {
    return sizeOf(this.#channels.get(name)?.subscriptions ?? null);
  }

  /** So much waits to go out on this channel that further publications should be refused for a moment. */
  congested(name: string): boolean {
    return (this.#channels.get(name)?.backlogBytes ?? 0) > BACKLOG_BYTES_MAX;
  }

  /** Registers the session's interest. It gets nothing until `goLive`; the ring records for it meanwhile. */
  add(session: Session, name: string, flags: { echo: boolean; events: boolean; byServer: boolean }): Subscription {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = new LocalChannel(name, channelOptions(this.deps.settings, name));
      this.#channels.set(name, channel);
      channel.starting = this.#start(channel);
    }
    const subscription = new Subscription(session, channel, flags.echo, flags.events, flags.byServer);
    channel.subscriptions = withItem(channel.subscriptions, subscription);
    // A new array each time has no room to spare: most sessions subscribe to a few channels, once.
    session.subscriptions = [...session.subscriptions, subscription];
    channel.catching++;
    if (flags.events) channel.watchers++;
    this.subscriptionCount++;
    return subscription;
  }

  async #start(channel: LocalChannel): Promise<void> {
    const top = await this.broker.subscribe(channel.name);
    channel.epoch = top.epoch;
    channel.delivered = top.offset;
    channel.starting = null;
    // What the sink brought between the broker's answer and this continuation waits in the backlog.
    this.#flow(channel);
  }

  /** The session has everything up to `delivered`: from now on it gets what comes, beginning with the very next publish. */
  goLive(subscription: Subscription): void {
    const { channel, session } = subscription;
    // Frames of a topic are handed to the socket at once; what waits in the outbox (`subscribed`) must be there before them.
    this.deps.outbox.flush(session);
    // Flushing may have found the client too slow, and ended it.
    if (hasEnded(subscription)) return;
    this.#doneCatching(channel);
    const { fanout } = session.connection;
    // A personal channel has one or a few sessions: a topic of its own would cost more than it saves.
    if (fanout === null || !subscription.echo || personalUser(channel.name) !== undefined) {
      subscription.reach = "direct";
      channel.direct = withItem(channel.direct, subscription);
      return;
    }
    subscription.reach = "topic";
    const group = this.#group(channel, session);
    group.members++;
    session.connection.join(group.topic);
  }

  /** The history holds more than was handed on to us: the broker's message was lost or is late. */
  catchUp(channel: LocalChannel, top: Position): void {
    const behind = top.epoch !== channel.epoch || top.offset > channel.delivered;
    if (behind && !channel.mending && channel.starting === null && channel.backlog === null) this.#mend(channel);
  }

  remove(subscription: Subscription): void {
    const { channel, session } = subscription;
    if (subscription.reach === "ended") return;
    if (subscription.reach === "catching") this.#doneCatching(channel);
    else this.#detach(subscription);
    subscription.reach = "ended";
    channel.subscriptions = withoutItem(channel.subscriptions, subscription);
    session.subscriptions = session.subscriptions.filter((other) => other !== subscription);
    if (subscription.events) channel.watchers--;
    this.subscriptionCount--;
    // A replay that waits for the client holds a page of the history: it must not wait on.
    session.wake();
    if (channel.subscriptions !== null) return;
    this.#channels.delete(channel.name);
    this.broker.unsubscribe(channel.name);
  }

  publication(name: string, epoch: string, publication: Publication): void {
    const channel = this.#channels.get(name);
    if (channel === undefined) return;
    const waits = channel.starting !== null || channel.mending || channel.backlog !== null;
    if (!waits && epoch === channel.epoch && this.#isNext(channel, publication) && channel.turnBytes < TURN_BYTES_MAX) {
      this.#deliver(channel, publication);
      return;
    }
    if (epoch !== channel.epoch && channel.starting === null) {
      // Two numberings must not meet in one backlog, where offsets alone do not tell them apart: the history has what this one brought.
      if (channel.mending) channel.renumbered = true;
      else this.#mend(channel);
      return;
    }
    channel.backlog ??= [];
    channel.backlog.push(publication);
    channel.backlogBytes += weightOf(channel, publication);
    if (!waits) this.#flow(channel);
  }

  /** Sends a `join` or `leave` to those who asked for them: to each the member as it may see it. */
  event(type: "join" | "leave", name: string, member: Member): void {
    const channel = this.#channels.get(name);
    if (channel === undefined || channel.watchers === 0) return;
    const frames = new Map<string, string | null>();
    const hidden = masked(member);
    for (const { session, events } of itemsOf(channel.subscriptions)) {
      if (!events) continue;
      if (session.id === member.session) {
        this.deps.outbox.push(session, { type, channel: name, member });
        continue;
      }
      const { protocol } = session;
      let frame = frames.get(protocol.form);
      if (frame === undefined) {
        frame = protocol.encode({ type, channel: name, member: hidden });
        frames.set(protocol.form, frame);
      }
      if (frame !== null) this.deps.outbox.pushText(session, frame);
    }
  }

  #isNext(channel: LocalChannel, publication: Publication): boolean {
    return publication.offset === channel.delivered + 1 || publication.offset === 0;
  }

  /** Delivers from the backlog what may go out in this turn. */
  #flow(channel: LocalChannel): void {
    const backlog = channel.backlog;
    if (backlog === null || channel.mending || channel.starting !== null) return;
    let taken = 0;
    for (const publication of backlog) {
      if (channel.turnBytes >= TURN_BYTES_MAX) break;
      if (this.#isNext(channel, publication)) this.#deliver(channel, publication);
      else if (publication.offset > channel.delivered) {
        channel.backlog = backlog.slice(taken);
        this.#mend(channel);
        return;
      }
      taken++;
      channel.backlogBytes -= weightOf(channel, publication);
    }
    if (taken === backlog.length) {
      channel.backlog = null;
      channel.backlogBytes = 0;
    } else channel.backlog = backlog.slice(taken);
  }

  #deliver(channel: LocalChannel, publication: Publication): void {
    if (publication.offset > 0) {
      channel.delivered = publication.offset;
      if (channel.catching > 0) {
        channel.ring ??= new Ring(RING_SIZE_MAX, RING_BYTES_MAX);
        channel.ring.push(publication);
      }
    }
    if (channel.turnBytes === 0) this.deps.turn.atEnd(() => this.#endTurn(channel));
    channel.turnBytes += weightOf(channel, publication);
    this.publications++;
    if (channel.suspect) this.#sweep(channel);
    if (publication.exclude !== undefined) this.#leaveTopic(channel, publication.exclude);
    for (const group of channel.groups) {
      this.deliveries += group.members;
      if (!group.fanout.publish(group.topic, group.frame(publication))) channel.suspect = true;
    }
    if (channel.direct !== null) this.#deliverDirectly(channel, itemsOf(channel.direct), publication);
    // Not numbered, so no replay will bring it: those who catch up get it now, ahead of what they are catching up with.
    if (publication.offset === 0 && channel.catching > 0)
      this.#deliverDirectly(channel, catchingOf(channel), publication);
  }

  #deliverDirectly(channel: LocalChannel, subscriptions: Iterable<Subscription>, publication: Publication): void {
    const frames = new Map<string, string>();
    for (const subscription of subscriptions) {
      if (!isMeantFor(subscription, publication)) continue;
      const { protocol } = subscription.session;
      let frame = frames.get(protocol.form);
      if (frame === undefined) {
        frame = protocol.framer(channel.name)(publication);
        frames.set(protocol.form, frame);
      }
      this.deliveries++;
      this.deps.outbox.pushText(subscription.session, frame);
    }
  }

  #endTurn(channel: LocalChannel): void {
    channel.turnBytes = 0;
    if (channel.suspect) this.#sweep(channel);
    this.#flow(channel);
  }

  /** Finds the subscribers that do not read. Asking 15,000 sockets for their queue costs 0.15 ms. */
  #sweep(channel: LocalChannel): void {
    channel.suspect = false;
    for (const subscription of itemsOf(channel.subscriptions)) {
      if (subscription.reach === "topic") this.deps.outbox.check(subscription.session);
    }
  }

  /** A topic reaches all its members, so a session that must not get a publication leaves it for good and is reached one by one. */
  #leaveTopic(channel: LocalChannel, sessionId: string): void {
    const subscription = this.deps.findSession(sessionId)?.subscription(channel.name);
    if (subscription?.reach !== "topic") return;
    this.#detach(subscription);
    subscription.reach = "direct";
    channel.direct = withItem(channel.direct, subscription);
  }

  #detach(subscription: Subscription): void {
    const { channel, session } = subscription;
    if (subscription.reach === "direct") {
      channel.direct = withoutItem(channel.direct, subscription);
      return;
    }
    const group = this.#group(channel, session);
    session.connection.leave(group.topic);
    group.members--;
    if (group.members > 0) return;
    channel.groups = channel.groups.filter((other) => other !== group);
    if (channel.groups.length === 0) channel.groups = NO_GROUPS;
  }

  #group(channel: LocalChannel, session: Session): TopicGroup {
    const { fanout } = session.connection;
    const { form } = session.protocol;
    if (fanout === null) throw new Error("a connection without topics has no topic group");
    for (const group of channel.groups) if (group.form === form && group.fanout === fanout) return group;
    const group: TopicGroup = {
      form,
      fanout,
      topic: `${form} ${channel.name}`,
      frame: session.protocol.framer(channel.name),
      members: 0,
    };
    channel.groups = [...channel.groups, group];
    return group;
  }

  #doneCatching(channel: LocalChannel): void {
    channel.catching--;
    if (channel.catching === 0) channel.ring = null;
  }

  /** Fills a hole, or finds out where the channel stands after a change of epoch. One at a time per channel. */
  #mend(channel: LocalChannel): void {
    channel.mending = true;
    channel.renumbered = false;
    const from = { epoch: channel.epoch, offset: channel.delivered };
    this.broker.history(channel.name, { from, ...MEND_PAGE }).then(
      (page) => {
        if (this.#channels.get(channel.name) !== channel) return;
        channel.mending = false;
        const changed = page.top.epoch !== channel.epoch;
        channel.epoch = page.top.epoch;
        if (!page.reached) channel.delivered = page.top.offset;
        if (changed || !page.reached) {
          channel.ring?.clear();
          this.#announce(channel, page.reached);
        }
        this.deps.log.warn("channel mended", { channel: channel.name, from, top: page.top, recovered: page.reached });
        // What waited belongs to the old epoch: read again what came since instead.
        channel.backlog = changed ? [...page.publications] : [...page.publications, ...(channel.backlog ?? [])];
        channel.backlogBytes = channel.backlog.reduce((sum, publication) => sum + weightOf(channel, publication), 0);
        this.#flow(channel);
        if (changed || page.more || channel.renumbered) this.deps.turn.atEnd(() => this.#mendAgain(channel));
      },
      (error: unknown) => {
        this.deps.log.error("channel cannot be mended yet", { channel: channel.name, error });
        this.deps.clock.after(MEND_RETRY_MS, () => {
          if (this.#channels.get(channel.name) === channel) this.#mend(channel);
        });
      },
    );
  }

  #mendAgain(channel: LocalChannel): void {
    if (this.#channels.get(channel.name) === channel && !channel.mending) this.#mend(channel);
  }

  /** Tells the live subscribers where the stream continues after a break. */
  #announce(channel: LocalChannel, recovered: boolean): void {
    const { name, epoch, delivered } = channel;
    for (const subscription of itemsOf(channel.subscriptions)) {
      if (subscription.reach === "catching") continue;
      this.deps.outbox.push(subscription.session, {
        type: "subscribed",
        channel: name,
        epoch,
        offset: delivered,
        recovered,
      });
      this.deps.outbox.flush(subscription.session);
    }
  }
}

/** About the length of its frame: many publications with short data are long all the same. */
function weightOf({ name: channel }: LocalChannel, { data, name, user }: Publication): number {
  return FRAME_BYTES + channel.length + data.length + (name?.length ?? 0) + (user?.length ?? 0);
}

/** Those that have been told `subscribed` and are not live yet. */
function* catchingOf(channel: LocalChannel): Iterable<Subscription> {
  for (const subscription of itemsOf(channel.subscriptions)) {
    if (subscription.reach === "catching" && subscription.position >= 0) yield subscription;
  }
}

export function hasEnded(subscription: Subscription): boolean {
  return subscription.reach === "ended";
}

/** Whether the subscription wants this publication: not excluded, and not its own where it asked for none of those. */
export function isMeantFor(subscription: Subscription, publication: Publication): boolean {
  const { id } = subscription.session;
  if (publication.exclude === id) return false;
  return subscription.echo || publication.session !== id;
}
