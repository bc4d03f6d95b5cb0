/**
 * A Control for tests of what stands in front of it.
 *
 *     const control = new FakeControl();
 *     control.fail("publish", new ReplyError("conflict"));   // the next call of that method rejects with it
 *     control.calls                                          // [method, ...arguments] of every call, in order
 *
 * It numbers publications per channel in the epoch `zL0v8d2k`, whose clock stands still. One session, `s1`, is connected: of the user
 * `bob`, subscribed to `room:1`.
 */
import type { HistoryEntry, Json } from "@longwire/protocol";
import { ReplyError } from "../../src/base/failures.ts";
import type * as port from "../../src/ports/control.ts";

type JsonObject = { readonly [key: string]: Json };

export const EPOCH = "zL0v8d2k";
export const TIME = 1_700_000_000_000;

const SESSION: port.SessionView = {
  session: "s1",
  user: "bob",
  protocol: "native",
  address: "127.0.0.1",
  since: TIME,
  channels: ["room:1"],
  bufferedBytes: 0,
};

export class FakeControl implements port.Control {
  readonly calls: (readonly [keyof port.Control, ...unknown[]])[] = [];
  private readonly histories = new Map<string, HistoryEntry[]>();
  private readonly failures = new Map<keyof port.Control, unknown>();
  private readonly values = new Map<string, Json>();
  private readonly keys = new Map<string, { readonly data: string; readonly answer: port.PublishAnswer }>();
  private data: JsonObject = {};

  fail(method: keyof port.Control, failure: unknown): void {
    this.failures.set(method, failure);
  }

  async publish(request: port.PublishRequest): Promise<port.PublishAnswer> {
    this.note("publish", request);
    const { channel, data, name, key } = request;
    if (channel.includes(" ") || channel === "@")
      throw new ReplyError("badChannel", "the channel name holds white space");
    const known = key === undefined ? undefined : this.keys.get(`${channel} ${key}`);
    if (known !== undefined && known.data !== data) throw new ReplyError("conflict");
    if (known !== undefined) return known.answer;
    const reach = channel === "room:1" ? { online: true, subscribers: 1 } : { online: false, subscribers: 0 };
    if (request.history === false) return { channel, epoch: EPOCH, ...reach };
    const entries = this.histories.get(channel) ?? [];
    this.histories.set(channel, entries);
    const offset = entries.length + 1;
    entries.push({ offset, data: JSON.parse(data) as Json, ...(name === undefined ? {} : { name }), time: TIME });
    const answer = { channel, epoch: EPOCH, offset, ...reach };
    if (key !== undefined) this.keys.set(`${channel} ${key}`, { data, answer });
    return answer;
  }

  async channels(
    query: port.Page & { readonly prefix?: string | undefined },
  ): Promise<{ channels: port.ChannelView[]; more: boolean }> {
    this.note("channels", query);
    const { prefix = "", after = "" } = query;
    const names = [...this.histories.keys()].filter((name) => name.startsWith(prefix) && name > after).toSorted();
    const channels = names.slice(0, query.limit).map((name) => this.view(name));
    return { channels, more: names.length > channels.length };
  }

  async channel(channel: string): Promise<port.ChannelView> {
    this.note("channel", channel);
    return this.view(channel);
  }

  async presence(channel: string): Promise<port.PresenceView> {
    this.note("presence", channel);
    return { members: [{ session: "s1", user: "bob", info: { nick: "Bob" } }], users: 1, sessions: 1 };
  }

  async history(channel: string, request: port.HistoryRequest): Promise<port.HistoryView> {
    this.note("history", channel, request);
    const entries = this.histories.get(channel) ?? [];
    return { channel, epoch: EPOCH, offset: entries.length, publications: entries, more: false };
  }

  async clearHistory(channel: string): Promise<void> {
    this.note("clearHistory", channel);
  }

  async users(query: port.Page): Promise<{ users: port.UserSummary[]; more: boolean }> {
    this.note("users", query);
    return { users: [{ user: "bob", sessions: 1 }], more: false };
  }

  async user(user: string): Promise<port.UserView> {
    this.note("user", user);
    return { user, online: user === "bob", sessions: user === "bob" ? [SESSION] : [] };
  }

  async revocation(user: string): Promise<port.RevocationView> {
    this.note("revocation", user);
    return { user, revokedAt: TIME, until: TIME + 1000 };
  }

  async liftRevocation(user: string): Promise<void> {
    this.note("liftRevocation", user);
  }

  async disconnectUser(...parts: Parameters<port.Control["disconnectUser"]>): Promise<number> {
    this.note("disconnectUser", ...parts);
    return 1;
  }

  async subscribeUser(user: string, channel: string): Promise<number> {
    this.note("subscribeUser", user, channel);
    return 1;
  }

  async unsubscribeUser(user: string, channel: string): Promise<number> {
    this.note("unsubscribeUser", user, channel);
    return 1;
  }

  async sessions(query: port.Page): Promise<{ sessions: port.SessionView[]; more: boolean }> {
    this.note("sessions", query);
    return { sessions: [SESSION], more: false };
  }

  async session(session: string): Promise<port.SessionView> {
    this.noteSession("session", session);
    return SESSION;
  }

  async send(...[session, message]: Parameters<port.Control["send"]>): Promise<void> {
    this.noteSession("send", session, message);
  }

  async disconnectSession(...[session, options]: Parameters<port.Control["disconnectSession"]>): Promise<void> {
    this.noteSession("disconnectSession", session, options);
  }

  async subscribeSession(session: string, channel: string): Promise<void> {
    this.noteSession("subscribeSession", session, channel);
  }

  async unsubscribeSession(session: string, channel: string): Promise<void> {
    this.noteSession("unsubscribeSession", session, channel);
  }

  async bindUser(session: string, user: string | null): Promise<void> {
    this.noteSession("bindUser", session, user);
  }

  async sessionData(session: string): Promise<JsonObject> {
    this.noteSession("sessionData", session);
    return this.data;
  }

  async putSessionData(session: string, data: JsonObject): Promise<void> {
    this.noteSession("putSessionData", session, data);
    this.data = data;
  }

  async patchSessionData(session: string, data: JsonObject): Promise<JsonObject> {
    this.noteSession("patchSessionData", session, data);
    this.data = Object.fromEntries(Object.entries({ ...this.data, ...data }).filter(([, value]) => value !== null));
    return this.data;
  }

  async state(key: string): Promise<Json> {
    this.note("state", key);
    const value = this.values.get(key);
    if (value === undefined) throw new ReplyError("notFound", key);
    return value;
  }

  async setState(key: string, value: Json, ttlMs: number | undefined): Promise<void> {
    this.note("setState", key, value, ttlMs);
    this.values.set(key, value);
  }

  async addState(key: string, amount: number, ttlMs: number | undefined): Promise<number> {
    this.note("addState", key, amount, ttlMs);
    const sum = Number(this.values.get(key) ?? 0) + amount;
    this.values.set(key, sum);
    return sum;
  }

  async setSessionState(session: string, key: string, value: Json): Promise<void> {
    this.note("setSessionState", session, key, value);
    this.values.set(key, value);
  }

  async addSessionState(session: string, key: string, amount: number): Promise<number> {
    this.note("addSessionState", session, key, amount);
    return amount;
  }

  async removeState(key: string): Promise<void> {
    this.note("removeState", key);
    if (!this.values.delete(key)) throw new ReplyError("notFound", key);
  }

  async stats(): Promise<port.StatsView> {
    this.note("stats");
    return {
      processes: 1,
      sessions: 1,
      users: 1,
      channels: this.histories.size,
      subscriptions: 1,
      publications: 0,
      deliveries: 0,
      uptimeMs: 5000,
      version: "0.1.0",
    };
  }

  private view(channel: string): port.ChannelView {
    const kept = this.histories.get(channel)?.length ?? 0;
    const present = channel === "room:1" ? 1 : 0;
    return { channel, epoch: EPOCH, offset: kept, kept, subscribers: present, users: present };
  }

  private noteSession(method: keyof port.Control, session: string, ...rest: readonly unknown[]): void {
    this.note(method, session, ...rest);
    if (session !== "s1") throw new ReplyError("notFound", "no such session");
  }

  private note(method: keyof port.Control, ...rest: readonly unknown[]): void {
    this.calls.push([method, ...rest]);
    const failure = this.failures.get(method);
    if (failure === undefined) return;
    this.failures.delete(method);
    throw failure;
  }
}
