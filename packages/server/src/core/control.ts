/** Control: what backends may ask of this gateway. Rights are the caller's affair; names, sizes and existence are ours. */
import { type Json, personalChannel, personalUser, type Position, userFault } from "@longwire/protocol";
import { Disconnect, ReplyError } from "../base/failures.ts";
import { firstByName } from "../base/names.ts";
import type {
  ChannelView,
  Control,
  HistoryRequest,
  HistoryView,
  Page,
  PresenceView,
  PublishAnswer,
  PublishRequest,
  RevocationView,
  SessionView,
  StatsView,
  UserDisconnection,
  UserSummary,
  UserView,
} from "../ports/control.ts";
import { joinByServer } from "./actions/connect.ts";
import { checkChannel, publish } from "./actions/publish.ts";
import { entryOf, readHistory } from "./actions/read.ts";
import { addBound, setBound } from "./actions/state.ts";
import { stateKey } from "./bound-state.ts";
import type { Core } from "./deps.ts";
import type { FollowedChannel } from "./peers.ts";
import type { SubscriberCounts } from "./subscriber-counts.ts";
import { part } from "./join.ts";
import { endForbidden } from "./narrowing.ts";
import { keepLuggage } from "./resume.ts";
import { lift, revocationOf, revoke } from "./revocations.ts";
import { refusalOfGift } from "./rights.ts";
import type { Session, SessionLuggage } from "./model.ts";

type SessionData = { readonly [key: string]: Json };

export class CoreControl implements Control {
  readonly #startedAt: number;

  constructor(
    private readonly core: Core,
    private readonly elsewhere: SubscriberCounts,
  ) {
    this.#startedAt = core.clock.uptime();
  }

  async publish(request: PublishRequest): Promise<PublishAnswer> {
    const { channel } = request;
    checkChannel(channel);
    const { hub } = this.core;
    const kept = request.history !== false;
    // As the engine counts: before the publication.
    const isFollowed = hub.channel(channel) !== undefined;
    const { epoch, offset, followers } = await publish(this.core, channel, {
      data: request.data,
      encoding: request.encoding,
      name: request.name,
      key: request.key,
      exclude: request.exclude,
      keep: kept,
    });
    const subscribers = this.reached(channel);
    const position = kept ? { channel, epoch, offset } : { channel, epoch };
    const others = followers === undefined ? 0 : followers - (isFollowed ? 1 : 0);
    if (others <= 0) return { ...position, online: subscribers > 0, subscribers };
    const all = subscribers + (await this.elsewhere.of(channel, others));
    return { ...position, online: true, subscribers: all, approximate: true };
  }

  /** How many sessions here a publication to the channel reaches. */
  reached(channel: string): number {
    const user = personalUser(channel);
    return user === undefined ? this.core.hub.subscriberCount(channel) : this.core.sessions.ofUser(user).length;
  }

  async channels(
    query: Page & { readonly prefix?: string | undefined },
    elsewhere: ReadonlyMap<string, number> = NOWHERE,
  ): Promise<{ channels: ChannelView[]; more: boolean }> {
    const { after, limit, prefix } = query;
    const { hub } = this.core;
    // Channels may be followed without ever having been published to, and kept without anybody following: both count.
    const first = { ...(after !== undefined && { after }), ...(prefix !== undefined && { prefix }), limit: limit + 1 };
    const known = new Map((await hub.broker.channels(first)).map((one) => [one.channel, one]));
    const followed = this.followed(first).map(({ channel }) => channel);
    const names = [...new Set([...known.keys(), ...followed, ...elsewhere.keys()])].toSorted();
    const views = names.slice(0, limit).map((channel) => {
      const one = known.get(channel);
      const others = elsewhere.get(channel) ?? 0;
      return one === undefined ? this.channel(channel, others) : this.#view(channel, one.top, one.kept, others);
    });
    return { channels: await Promise.all(views), more: names.length > limit };
  }

  /** The first channels that are followed here. */
  followed(query: Page & { readonly prefix?: string | undefined }): FollowedChannel[] {
    const { hub } = this.core;
    return firstByName(hub.channelNames(), itself, query).map((channel) => ({
      channel,
      subscribers: hub.subscriberCount(channel),
    }));
  }

  async channel(channel: string, elsewhere = 0): Promise<ChannelView> {
    checkChannel(channel);
    const { top, publications } = await this.core.hub.broker.history(channel, {
      from: "earliest",
      limit: 1,
      bytesMax: 0,
    });
    // What is kept ends at the top and has no holes.
    const [oldest] = publications;
    return await this.#view(channel, top, oldest === undefined ? 0 : top.offset - oldest.offset + 1, elsewhere);
  }

  async #view(channel: string, top: Position, kept: number, elsewhere: number): Promise<ChannelView> {
    const { users } = await this.core.engine.presence.count(channel);
    return { channel, ...top, kept, subscribers: this.core.hub.subscriberCount(channel) + elsewhere, users };
  }

  async presence(channel: string): Promise<PresenceView> {
    checkChannel(channel);
    return await this.core.engine.presence.list(channel, this.core.settings.presenceListMax);
  }

  async history(channel: string, request: HistoryRequest): Promise<HistoryView> {
    checkChannel(channel);
    const page = await readHistory(this.core, channel, request);
    return { channel, ...page.top, publications: page.publications.map(entryOf), more: page.more };
  }

  async clearHistory(channel: string): Promise<void> {
    checkChannel(channel);
    await this.core.hub.broker.clear(channel);
  }

  users(query: Page): Promise<{ users: UserSummary[]; more: boolean }> {
    const { sessions } = this.core;
    const { page, more } = pageOf(sessions.users(), query);
    return Promise.resolve({ users: page.map((user) => ({ user, sessions: sessions.ofUser(user).length })), more });
  }

  user(user: string): Promise<UserView> {
    const sessions = this.core.sessions.ofUser(user);
    return Promise.resolve({ user, online: sessions.length > 0, sessions: sessions.map(viewOf) });
  }

  async disconnectUser(user: string, options: UserDisconnection): Promise<number> {
    const { revokeMs } = options;
    if (revokeMs !== undefined) await revoke(this.core, user, revokeMs);
    return this.endSessions(user, options);
  }

  endSessions(user: string, options: UserDisconnection): number {
    const sessions = this.core.sessions.ofUser(user);
    for (const session of sessions) this.#disconnect(session, options);
    return sessions.length;
  }

  async revocation(user: string): Promise<RevocationView> {
    const revocation = await revocationOf(this.core, user);
    if (revocation === undefined) throw notRevoked();
    return revocation;
  }

  async liftRevocation(user: string): Promise<void> {
    if (!(await lift(this.core, user))) throw notRevoked();
  }

  async subscribeUser(user: string, channel: string): Promise<number> {
    const sessions = this.core.sessions.ofUser(user);
    let subscribed = 0;
    for (const session of sessions) if ((await this.#give(session, channel)) === undefined) subscribed++;
    return subscribed;
  }

  async unsubscribeUser(user: string, channel: string): Promise<number> {
    const sessions = this.core.sessions.ofUser(user).filter((session) => session.subscription(channel) !== undefined);
    for (const session of sessions) await this.#take(session, channel);
    return sessions.length;
  }

  sessions(query: Page): Promise<{ sessions: SessionView[]; more: boolean }> {
    const { sessions } = this.core;
    const { page, more } = pageOf(sessions.ids(), query);
    return Promise.resolve({ sessions: page.map((id) => viewOf(this.#find(id))), more });
  }

  async session(id: string): Promise<SessionView> {
    return await Promise.resolve(viewOf(this.#find(id)));
  }

  async send(id: string, message: Pick<PublishRequest, "data" | "encoding" | "name">): Promise<void> {
    const { data, encoding, name } = message;
    const session = this.#find(id);
    this.core.outbox.push(session, {
      type: "message",
      data: JSON.parse(data) as Json,
      ...(encoding !== undefined && { encoding }),
      ...(name !== undefined && { name }),
    });
    await Promise.resolve();
  }

  async disconnectSession(
    id: string,
    options: { readonly reason?: string | undefined; readonly reconnect: boolean },
  ): Promise<void> {
    this.#disconnect(this.#find(id), options);
    await Promise.resolve();
  }

  async subscribeSession(id: string, channel: string): Promise<void> {
    const failure = await this.#give(this.#find(id), channel);
    if (failure !== undefined) throw failure;
  }

  async unsubscribeSession(id: string, channel: string): Promise<void> {
    const session = this.#find(id);
    if (session.subscription(channel) === undefined) throw new ReplyError("notSubscribed", channel);
    await this.#take(session, channel);
  }

  async bindUser(id: string, user: string | null): Promise<void> {
    const session = this.#find(id);
    const fault = user === null ? undefined : userFault(user);
    if (fault !== undefined) throw new ReplyError("badField", fault, undefined, "user");
    const before = session.user;
    this.core.sessions.change(session, () => this.#pack(session, { boundUser: user ?? undefined }));
    if (session.user !== before) {
      const old = before === undefined ? undefined : session.subscription(personalChannel(before));
      if (old !== undefined) this.#unsubscribe(session, old.channel.name);
      if (session.user !== undefined) await joinByServer(this.core, session, personalChannel(session.user), undefined);
      await this.core.presence.rename(session);
      endForbidden(this.core, session);
    }
    await keepLuggage(this.core, session);
  }

  async sessionData(id: string): Promise<SessionData> {
    return await Promise.resolve(this.#find(id).luggage.data);
  }

  async putSessionData(id: string, data: SessionData): Promise<void> {
    const session = this.#find(id);
    this.#pack(session, { data });
    await keepLuggage(this.core, session);
  }

  async patchSessionData(id: string, data: SessionData): Promise<SessionData> {
    const session = this.#find(id);
    const merged = new Map(Object.entries(session.luggage.data));
    for (const [key, value] of Object.entries(data)) {
      if (value === null) merged.delete(key);
      else merged.set(key, value);
    }
    const whole = Object.fromEntries(merged);
    const { publicationBytesMax } = this.core.settings;
    if (Buffer.byteLength(JSON.stringify(whole)) > publicationBytesMax)
      throw new ReplyError(
        "tooLarge",
        `the data of a session may have at most ${publicationBytesMax} bytes (publicationBytesMax)`,
      );
    await this.putSessionData(id, whole);
    return session.luggage.data;
  }

  async state(key: string): Promise<Json> {
    const text = await this.core.engine.state.get(stateKey(key));
    if (text === undefined) throw new ReplyError("notFound", `no value is kept under ${key}`);
    return JSON.parse(text) as Json;
  }

  async setState(key: string, value: Json, ttlMs: number | undefined): Promise<void> {
    await this.core.engine.state.set(stateKey(key), JSON.stringify(value), ttlMs);
  }

  async addState(key: string, amount: number, ttlMs: number | undefined): Promise<number> {
    return await this.core.engine.state.add(stateKey(key), amount, ttlMs);
  }

  async setSessionState(id: string, key: string, value: Json): Promise<void> {
    await setBound(this.core, this.#find(id), key, JSON.stringify(value));
  }

  async addSessionState(id: string, key: string, amount: number): Promise<number> {
    return await addBound(this.core, this.#find(id), key, amount);
  }

  async removeState(key: string): Promise<void> {
    if (!(await this.core.engine.state.remove(stateKey(key))))
      throw new ReplyError("notFound", `no value is kept under ${key}`);
  }

  stats(): Promise<StatsView> {
    const { sessions, hub, clock, settings } = this.core;
    return Promise.resolve({
      processes: 1,
      sessions: sessions.size,
      users: sessions.userCount,
      channels: hub.channelCount,
      subscriptions: hub.subscriptionCount,
      publications: hub.publications,
      deliveries: hub.deliveries,
      uptimeMs: Math.round(clock.uptime() - this.#startedAt),
      version: settings.version,
    });
  }

  #find(id: string): Session {
    const session = this.core.sessions.get(id);
    if (session === undefined) throw new ReplyError("notFound", "no such session is connected");
    return session;
  }

  #disconnect(
    session: Session,
    { reason, reconnect }: { readonly reason?: string | undefined; readonly reconnect: boolean },
  ): void {
    this.core.goodbye(session, new Disconnect(reconnect ? "asked" : "kicked", reason));
  }

  /**
   * Subscribes the session in the application's name: for this session's whole life, resumes included. Resolves to why it could
   * not be; throws where no session of this user could.
   */
  async #give(session: Session, channel: string): Promise<ReplyError | undefined> {
    checkChannel(channel);
    const refused = refusalOfGift(session, channel);
    if (refused !== undefined) throw refused;
    const before = session.luggage.channels;
    if (!before.includes(channel)) this.#pack(session, { channels: [...before, channel] });
    if (session.subscription(channel) === undefined) {
      const failure = await joinByServer(this.core, session, channel, undefined);
      if (failure !== undefined) {
        this.#unpack(session, channel);
        return failure;
      }
    }
    await keepLuggage(this.core, session);
    return undefined;
  }

  async #take(session: Session, channel: string): Promise<void> {
    this.#unpack(session, channel);
    this.#unsubscribe(session, channel);
    await keepLuggage(this.core, session);
  }

  #unsubscribe(session: Session, channel: string): void {
    const subscription = session.subscription(channel);
    if (subscription === undefined) return;
    part(this.core, subscription, false);
    const { code, message } = new ReplyError("unsubscribedByServer");
    this.core.outbox.push(session, { type: "unsubscribed", channel, code, reason: message });
  }

  #unpack(session: Session, channel: string): void {
    this.#pack(session, { channels: session.luggage.channels.filter((other) => other !== channel) });
  }

  #pack(session: Session, change: Partial<SessionLuggage>): void {
    session.luggage = { ...session.luggage, ...change };
  }
}

const NOWHERE: ReadonlyMap<string, number> = new Map();

function notRevoked(): ReplyError {
  return new ReplyError("notFound", "the user's tokens are not revoked");
}

function itself(name: string): string {
  return name;
}

/** One name more than fits says whether there is more. */
function pageOf(names: Iterable<string>, { after, limit }: Page): { page: string[]; more: boolean } {
  const first = firstByName(names, itself, { after, limit: limit + 1 });
  return { page: first.slice(0, limit), more: first.length > limit };
}

function viewOf(session: Session): SessionView {
  const { id, user, client, protocol, connection, openedAt, subscriptions } = session;
  return {
    session: id,
    ...(user !== undefined && { user }),
    ...(client !== undefined && { client }),
    protocol: protocol.form,
    address: connection.address,
    since: openedAt,
    channels: subscriptions.map(({ channel }) => channel.name),
    bufferedBytes: session.queueBytes,
  };
}
