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
import type { Frame } from "../ports/connection.ts";
import { channelOptions } from "./channel-options.ts";
import type { Outbox } from "./outbox.ts";
import { masked } from "./member.ts";
import { Mending } from "./mending.ts";
import { LocalChannel, NO_GROUPS, type Session, Subscription, type TopicGroup } from "./model.ts";
import type { Settings } from "./settings.ts";

/** What one turn hands to a channel's topics. More waits for the next turn, so that a backed-up socket is noticed in between. */
const TURN_BYTES_MAX = 256 * 1024;

/** A channel with more than this waiting takes no publish: see `congested`. */
const BACKLOG_BYTES_MAX = 16 * 1024 * 1024;

/** How long after the last publication that excluded it a session goes back to its topic, and how many do so at a time. */
const REJOIN_AFTER_MS = 10_000;
const REJOINS_MAX = 256;

const RING_SIZE_MAX = 256;
const RING_BYTES_MAX = 256 * 1024;

export interface HubDeps {
  readonly settings: Settings;
  readonly outbox: Outbox;
  readonly turn: Turn;
  readonly clock: Clock;
  readonly log: Logger;
  readonly findSession: (id: string) => Session | undefined;
  /** Everybody here has to come back. */
  readonly fenced: () => void;
}

export class Hub implements Sink {
  readonly #channels = new Map<string, LocalChannel>();
  #broker: Broker | undefined;
  /** Publications handed to subscriptions since the start. */
  deliveries = 0;
  publications = 0;
  subscriptionCount = 0;

  readonly mending: Mending;

  constructor(private readonly deps: HubDeps) {
    this.mending = new Mending({
      ...deps,
      history: (name, query) => this.broker.history(name, query),
      isFollowed: (channel) => this.#channels.get(channel.name) === channel,
      flow: (channel) => this.#flow(channel),
    });
  }

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

  /** The settings have changed: those who follow a channel go by its options of today. */
  reload(): void {
    for (const channel of this.#channels.values()) {
      const wasKept = channel.options.historySize > 0;
      channel.options = channelOptions(this.deps.settings, channel.name);
      const isKept = channel.options.historySize > 0;
      // An engine may number what it keeps in another epoch. Of a channel with publications it stays; one without would find it out by its first, too late
      // for that one.
      if (wasKept !== isKept && channel.delivered === 0 && channel.starting === null) this.mending.renumber(channel);
    }
  }

  channelNames(): IterableIterator<string> {
    return this.#channels.keys();
  }

  get channelCount(): number {
    return this.#channels.size;
  }

  /** Those that get the next publication: one whose subscription is still on its way to the engine may miss it. */
  subscriberCount(name: string): number {
    const channel = this.#channels.get(name);
    return channel === undefined || channel.starting !== null ? 0 : sizeOf(channel.subscriptions);
  }

  /** So much waits to go out on this channel that further publications should be refused for a moment. */
  congested(name: string): boolean {
    return (this.#channels.get(name)?.backlogBytes ?? 0) > BACKLOG_BYTES_MAX;
  }

  /** Registers the session's interest. It gets nothing until `goLive`; the ring records for it meanwhile. */
  add(session: Session, name: string, flags: { echo: boolean; events: boolean; byToken: boolean }): Subscription {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = new LocalChannel(name, channelOptions(this.deps.settings, name));
      this.#channels.set(name, channel);
      channel.starting = this.#start(channel);
    }
    if (session.subscriptions.length > 0) this.#speakOfSeveral(session);
    const subscription = new Subscription(session, channel, flags.echo, flags.events, flags.byToken);
    channel.subscriptions = withItem(channel.subscriptions, subscription);
    // A new array each time has no room to spare: most sessions subscribe to a few channels, once.
    session.subscriptions = [...session.subscriptions, subscription];
    session.cursorGroup = null;
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
    this.#joinTopic(subscription);
  }

  /** From its second subscription on a session may need another wire form, which its first one has to follow. */
  #speakOfSeveral(session: Session): void {
    const { several } = session.protocol;
    if (several === undefined) return;
    this.deps.outbox.flush(session);
    const onTopics = session.subscriptions.filter(({ reach }) => reach === "topic");
    for (const subscription of onTopics) this.#detach(subscription);
    session.protocol = several;
    for (const subscription of onTopics) this.#joinTopic(subscription);
  }

  #joinTopic(subscription: Subscription): void {
    const { channel, session } = subscription;
    subscription.reach = "topic";
    const group = this.#group(channel, session);
    group.members++;
    session.connection.join(group.topic);
  }

  remove(subscription: Subscription): void {
    const { channel, session } = subscription;
    if (subscription.reach === "ended") return;
    if (subscription.reach === "catching") this.#doneCatching(channel);
    else this.#detach(subscription);
    subscription.reach = "ended";
    channel.subscriptions = withoutItem(channel.subscriptions, subscription);
    session.subscriptions = session.subscriptions.filter((other) => other !== subscription);
    session.cursorGroup = null;
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
      this.mending.renumber(channel);
      return;
    }
    channel.backlog ??= [];
    channel.backlog.push(publication);
    channel.backlogBytes += channel.weigh(publication);
    if (!waits) this.#flow(channel);
  }

  /** Sends a `join` or `leave` to those who asked for them: to each the member as it may see it. */
  event(type: "join" | "leave", name: string, member: Member): void {
    const channel = this.#channels.get(name);
    if (channel === undefined || channel.watchers === 0) return;
    const frames = new Map<string, Frame | null>();
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
      if (frame !== null) this.deps.outbox.pushFrame(session, frame);
    }
  }

  top(name: string, position: Position): void {
    const channel = this.#channels.get(name);
    if (channel !== undefined) this.mending.catchUp(channel, position);
  }

  fenced(): void {
    this.deps.fenced();
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
        this.mending.begin(channel);
        return;
      }
      taken++;
      channel.backlogBytes -= channel.weigh(publication);
    }
    if (taken === backlog.length) {
      channel.backlog = null;
      channel.backlogBytes = 0;
    } else channel.backlog = backlog.slice(taken);
  }

  /**
   * From where `delivered` moves until all have the publication nothing may be handed over: whoever is handed something may be told its
   * cursor (`cursors.ts`), which would cover what it has not got yet.
   */
  #deliver(channel: LocalChannel, publication: Publication): void {
    if (channel.suspect) this.#sweep(channel);
    if (publication.exclude !== undefined) this.#leaveTopic(channel, publication.exclude);
    if (channel.excluded !== null) this.#rejoinTopic(channel.excluded);
    if (publication.offset > 0) {
      channel.delivered = publication.offset;
      if (channel.catching > 0) {
        channel.ring ??= new Ring(RING_SIZE_MAX, RING_BYTES_MAX);
        channel.ring.push(publication);
      }
    }
    if (channel.turnBytes === 0) this.deps.turn.atEnd(() => this.#endTurn(channel));
    channel.turnBytes += channel.weigh(publication);
    this.publications++;
    for (const group of channel.groups) {
      this.deliveries += group.members;
      if (!group.fanout.publish(group.topic, group.frame(publication, channel.epoch))) channel.suspect = true;
    }
    if (channel.direct !== null) this.#deliverDirectly(channel, itemsOf(channel.direct), publication);
    // Not numbered, so no replay will bring it: those who catch up get it now, ahead of what they are catching up with.
    if (publication.offset === 0 && channel.catching > 0)
      this.#deliverDirectly(channel, catchingOf(channel), publication);
  }

  #deliverDirectly(channel: LocalChannel, subscriptions: Iterable<Subscription>, publication: Publication): void {
    const { outbox } = this.deps;
    const frames = new Map<string, Frame>();
    const full: Session[] = [];
    for (const subscription of subscriptions) {
      if (!isMeantFor(subscription, publication)) continue;
      const { protocol } = subscription.session;
      let frame = frames.get(protocol.form);
      if (frame === undefined) {
        frame = protocol.framer(channel.name)(publication, channel.epoch);
        frames.set(protocol.form, frame);
      }
      this.deliveries++;
      if (outbox.gather(subscription.session, frame)) full.push(subscription.session);
    }
    for (const session of full) outbox.flush(session);
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

  /** A topic reaches all its members, so a session that must not get a publication leaves it for a while and is reached one by one. */
  #leaveTopic(channel: LocalChannel, sessionId: string): void {
    const subscription = this.deps.findSession(sessionId)?.subscription(channel.name);
    if (subscription === undefined) return;
    if (subscription.reach === "topic") {
      this.#detach(subscription);
      subscription.reach = "direct";
      channel.direct = withItem(channel.direct, subscription);
    } else if (channel.excluded?.delete(subscription) !== true) return;
    channel.excluded ??= new Map();
    channel.excluded.set(subscription, this.deps.clock.uptime());
  }

  /** Brings back those that nothing has excluded for a while: somebody who has written once would be sent everything apart for ever. */
  #rejoinTopic(excluded: ReadonlyMap<Subscription, number>): void {
    const quietSince = this.deps.clock.uptime() - REJOIN_AFTER_MS;
    let left = REJOINS_MAX;
    for (const [subscription, excludedAt] of excluded) {
      if (excludedAt > quietSince || left-- === 0) return;
      // As in `goLive`: what was sent to it alone goes before what the topic brings, and flushing may end it.
      this.deps.outbox.flush(subscription.session);
      if (hasEnded(subscription)) continue;
      this.#detach(subscription);
      this.#joinTopic(subscription);
    }
  }

  #detach(subscription: Subscription): void {
    const { channel, session } = subscription;
    if (subscription.reach === "direct") {
      channel.direct = withoutItem(channel.direct, subscription);
      channel.excluded?.delete(subscription);
      if (channel.excluded?.size === 0) channel.excluded = null;
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
