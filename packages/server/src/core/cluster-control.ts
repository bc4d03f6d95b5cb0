/**
 * Cluster control: what backends ask, answered for all processes. What one process can say alone (histories, presence, shared state: the engine
 * has them) it says; about sessions the others are asked too. While nobody else is there it is the local control with one look at a list in front.
 */
import type { Json } from "@longwire/protocol";
import { ReplyError } from "../base/failures.ts";
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
import type { CoreControl } from "./control.ts";
import type { Core } from "./deps.ts";
import { makerOf } from "./moving.ts";
import { changeMembershipHere } from "./peer-answers.ts";
import { isUnavailable, type OfSession, type Peers, type SessionMethod } from "./peers.ts";
import { readRecord } from "./resume.ts";
import type { Roster } from "./roster.ts";

type SessionData = { readonly [key: string]: Json };

export class ClusterControl implements Control {
  readonly #peers: Peers;

  constructor(
    private readonly core: Core,
    private readonly local: CoreControl,
    private readonly roster: Roster,
  ) {
    this.#peers = core.peers;
  }

  /** The local one asks for the others' counts, where the engine says that others follow. */
  publish(request: PublishRequest): Promise<PublishAnswer> {
    return this.local.publish(request);
  }

  async channels(
    query: Page & { readonly prefix?: string | undefined },
  ): Promise<{ channels: ChannelView[]; more: boolean }> {
    if (this.#peers.isAlone) return await this.local.channels(query);
    // One more than fits says whether there is more. Whoever follows a channel of the page has it among its first ones.
    const { answers } = await this.#peers.askAll("followed", { ...query, limit: query.limit + 1 });
    const elsewhere = new Map<string, number>();
    for (const { channel, subscribers } of answers.flat())
      elsewhere.set(channel, (elsewhere.get(channel) ?? 0) + subscribers);
    return await this.local.channels(query, elsewhere);
  }

  async channel(channel: string): Promise<ChannelView> {
    if (this.#peers.isAlone) return await this.local.channel(channel);
    const { answers } = await this.#peers.askAll("subscribers", { channel });
    return await this.local.channel(channel, sumOf(answers));
  }

  presence(channel: string): Promise<PresenceView> {
    return this.local.presence(channel);
  }

  history(channel: string, request: HistoryRequest): Promise<HistoryView> {
    return this.local.history(channel, request);
  }

  clearHistory(channel: string): Promise<void> {
    return this.local.clearHistory(channel);
  }

  async users(query: Page): Promise<{ users: UserSummary[]; more: boolean }> {
    if (this.#peers.isAlone) return await this.local.users(query);
    const { answers } = await this.#peers.askAll("users", query);
    const pages = [await this.local.users(query), ...answers];
    const counts = new Map<string, number>();
    for (const { user, sessions } of pages.flatMap(({ users }) => users))
      counts.set(user, (counts.get(user) ?? 0) + sessions);
    const { page, more } = merged([...counts], ([user]) => user, query, pages);
    return { users: page.map(([user, sessions]) => ({ user, sessions })), more };
  }

  async user(user: string): Promise<UserView> {
    const view = await this.local.user(user);
    if (this.#peers.isAlone) return view;
    const { answers } = await this.#peers.askAll("user", { user });
    const sessions = unique([...view.sessions, ...answers.flat()]);
    return { user, online: sessions.length > 0, sessions };
  }

  /** Everywhere, or it has to be asked again: one who is let stay in by a process that does not answer was not thrown out. */
  async disconnectUser(user: string, options: UserDisconnection): Promise<number> {
    const here = await this.local.disconnectUser(user, options);
    if (this.#peers.isAlone) return here;
    return here + sumOf(await this.#peers.askEach("disconnectUser", { user, options }));
  }

  revocation(user: string): Promise<RevocationView> {
    return this.local.revocation(user);
  }

  liftRevocation(user: string): Promise<void> {
    return this.local.liftRevocation(user);
  }

  async subscribeUser(user: string, channel: string): Promise<number> {
    return await this.#changeMembership("subscribeUser", user, channel);
  }

  async unsubscribeUser(user: string, channel: string): Promise<number> {
    return await this.#changeMembership("unsubscribeUser", user, channel);
  }

  async #changeMembership(action: "subscribeUser" | "unsubscribeUser", user: string, channel: string): Promise<number> {
    // What is wrong with the request shows here first, and nobody is asked.
    const here = await changeMembershipHere(this.core, this.local, { action, user, channel });
    if (this.#peers.isAlone) return here;
    return here + sumOf(await this.#peers.askEach("membership", { action, user, channel }));
  }

  async sessions(query: Page): Promise<{ sessions: SessionView[]; more: boolean }> {
    if (this.#peers.isAlone) return await this.local.sessions(query);
    const { answers } = await this.#peers.askAll("sessions", query);
    const pages = [await this.local.sessions(query), ...answers];
    const all = unique(pages.flatMap(({ sessions }) => sessions));
    const { page, more } = merged(all, ({ session }) => session, query, pages);
    return { sessions: page, more };
  }

  session(session: string): Promise<SessionView> {
    return this.#where("session", session);
  }

  send(session: string, ...rest: OfSession<"send">): Promise<void> {
    return this.#where("send", session, ...rest);
  }

  disconnectSession(session: string, ...rest: OfSession<"disconnectSession">): Promise<void> {
    return this.#where("disconnectSession", session, ...rest);
  }

  subscribeSession(session: string, channel: string): Promise<void> {
    return this.#where("subscribeSession", session, channel);
  }

  unsubscribeSession(session: string, channel: string): Promise<void> {
    return this.#where("unsubscribeSession", session, channel);
  }

  bindUser(session: string, user: string | null): Promise<void> {
    return this.#where("bindUser", session, user);
  }

  sessionData(session: string): Promise<SessionData> {
    return this.#where("sessionData", session);
  }

  putSessionData(session: string, data: SessionData): Promise<void> {
    return this.#where("putSessionData", session, data);
  }

  patchSessionData(session: string, data: SessionData): Promise<SessionData> {
    return this.#where("patchSessionData", session, data);
  }

  setSessionState(session: string, key: string, value: Json): Promise<void> {
    return this.#where("setSessionState", session, key, value);
  }

  addSessionState(session: string, key: string, amount: number): Promise<number> {
    return this.#where("addSessionState", session, key, amount);
  }

  state(key: string): Promise<Json> {
    return this.local.state(key);
  }

  setState(key: string, value: Json, ttlMs: number | undefined): Promise<void> {
    return this.local.setState(key, value, ttlMs);
  }

  addState(key: string, amount: number, ttlMs: number | undefined): Promise<number> {
    return this.local.addState(key, amount, ttlMs);
  }

  removeState(key: string): Promise<void> {
    return this.local.removeState(key);
  }

  async stats(): Promise<StatsView> {
    const here = await this.local.stats();
    if (this.#peers.isAlone) return here;
    const [{ answers }, users] = await Promise.all([this.#peers.askAll("stats", {}), this.roster.count()]);
    const all = [here, ...answers];
    return {
      ...here,
      users,
      processes: sumOf(all.map(({ processes }) => processes)),
      sessions: sumOf(all.map(({ sessions }) => sessions)),
      channels: sumOf(all.map(({ channels }) => channels)),
      subscriptions: sumOf(all.map(({ subscriptions }) => subscriptions)),
      publications: sumOf(all.map(({ publications }) => publications)),
      deliveries: sumOf(all.map(({ deliveries }) => deliveries)),
    };
  }

  /** Carries the method out where the session is: here, else most likely with the process that made it, else wherever somebody has it. */
  async #where<Method extends SessionMethod>(
    method: Method,
    ...parameters: Parameters<Control[Method]>
  ): Promise<Awaited<ReturnType<Control[Method]>>> {
    const [session] = parameters;
    type Result = Awaited<ReturnType<Control[Method]>>;
    const here = (): Promise<Result> => Reflect.apply(this.local[method], this.local, parameters) as Promise<Result>;
    // Until the process that had it has answered, it would be changed in vain.
    await this.core.handovers.arrived(session);
    const isHere = (): boolean => this.core.sessions.get(session) !== undefined;
    if (isHere() || this.#peers.isAlone) return await here();
    const ask = async (peer: string): Promise<Result> =>
      (await this.#peers.ask(peer, "ofSession", { method, parameters: parameters as readonly Json[] })) as Result;
    const asked = new Set<string>();
    let failure: unknown;
    for (const likely of this.#likely(session)) {
      try {
        const peer = await likely();
        if (peer === undefined || asked.has(peer) || !this.#peers.others.includes(peer)) continue;
        asked.add(peer);
        return await ask(peer);
      } catch (error) {
        // One that does not answer may have lost it to another one.
        if (!isUnavailable(error) && !isNotFound(error)) throw error;
        if (!isUnavailable(failure)) failure = error;
      }
    }
    const { answers, peers, missing } = await this.#peers.askAll("holding", { session });
    const holder = peers[answers.indexOf(true)];
    // It has it and could not do it: asking twice would not help.
    if (holder !== undefined && asked.has(holder) && isUnavailable(failure)) throw failure;
    if (holder !== undefined) return await ask(holder);
    // It may have been taken up here meanwhile.
    if (isHere() || (missing === 0 && !isUnavailable(failure))) return await here();
    throw new ReplyError("unavailable", "the session may be connected to a process that does not answer");
  }

  /** Who most likely has the session: the process that made it, without a look into the store, and the one that the store names. */
  #likely(session: string): (() => Promise<string | undefined>)[] {
    const maker = makerOf(session);
    const byId = (): Promise<string> => Promise.resolve(maker);
    const byRecord = async (): Promise<string | undefined> => (await readRecord(this.core, session))?.at;
    return this.core.handovers.isSilent(maker) ? [byRecord, byId] : [byId, byRecord];
  }
}

function isNotFound(failure: unknown): boolean {
  return failure instanceof ReplyError && failure.error === "notFound";
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** A session that is on its way from one process to another may be in both for a moment. */
function unique(sessions: readonly SessionView[]): SessionView[] {
  return [...new Map(sessions.map((view) => [view.session, view])).values()];
}

/** Of what each gave as its first `limit`, the first ones of all. */
function merged<T>(
  items: readonly T[],
  nameOf: (item: T) => string,
  { limit }: Page,
  pages: readonly { readonly more: boolean }[],
): { page: T[]; more: boolean } {
  return {
    page: firstByName(items, nameOf, { limit }),
    more: items.length > limit || pages.some(({ more }) => more),
  };
}
