/**
 * A chat room on a channel: the last messages, then everything after them without a gap, who is here, and own messages with
 * what became of them.
 */
import { type Channel, type Client, type Json, LongwireError, type Member, type Message } from "@longwire/client";

/** What people write; anybody may publish to the channel, so nothing of it is certain. */
export interface ChatMessage {
  /** Made by the writer: the own message is known again by it when it comes back. */
  readonly id: string;
  readonly from: string;
  readonly name: string;
  readonly text: string;
  readonly time: number;
}

export interface Self {
  readonly id: string;
  readonly name: string;
}

export type SendState = "pending" | "sent" | "failed";

export interface RoomEvents {
  /** The messages from here on; whatever was shown before is void. */
  began(messages: readonly ChatMessage[]): void;
  arrived(message: ChatMessage): void;
  /** An own message, at once; and again whenever its state changes. */
  sending(message: ChatMessage, state: SendState): void;
  joined(name: string): void;
  left(name: string): void;
  /** Everybody, after any change. */
  members(names: readonly { readonly name: string; readonly isSelf: boolean }[]): void;
  missed(): void;
  noHistory(): void;
  refused(reason: string): void;
}

const HISTORY_COUNT = 50;
const RETRY_MS = 2000;

export class Room {
  readonly #client: Client;
  readonly #channel: Channel;
  readonly #self: Self;
  readonly #events: RoomEvents;
  readonly #off: (() => void)[];
  readonly #members = new Map<string, string>();
  /** For each list that was asked for, who has come and gone since: answer and events may come by two connections, one ahead of the other. */
  readonly #listings = new Set<Map<string, string | undefined>>();
  #loaded = false;
  #loading = false;
  #closed = false;
  /** What arrives while the history is fetched anew. */
  #held: Message<Json>[] | undefined;

  /** `goesOn`: another room on the same session showed everything up to where the client left the channel. */
  constructor(client: Client, name: string, self: Self, events: RoomEvents, goesOn: boolean = false) {
    this.#client = client;
    this.#self = self;
    this.#events = events;
    const channel = client.channel(name, { presence: { name: self.name }, events: true });
    this.#channel = channel;
    this.#off = [
      channel.on("message", (message) => this.#arrived(message)),
      channel.on("join", (member) => this.#join(member)),
      channel.on("leave", (member) => this.#leave(member)),
      channel.on("subscribed", ({ recovered }) => this.#subscribed(recovered)),
      channel.on("state", (state) => {
        if (state.status === "unsubscribed" && state.reason !== undefined) events.refused(state.reason);
      }),
      client.on("state", ({ status }) => status === "connected" && void this.#load()),
    ];
    if (goesOn) {
      this.#loaded = true;
      channel.subscribe();
    } else void this.#load();
  }

  /** What was said so far is shown: another room may go on from here. */
  get isLoaded(): boolean {
    return this.#loaded && this.#held === undefined;
  }

  close(): void {
    this.release();
    this.#channel.unsubscribe();
  }

  /** Says nothing any more, and leaves the subscription to the room that goes on. */
  release(): void {
    this.#closed = true;
    for (const off of this.#off) off();
  }

  send(text: string): void {
    const { id: from, name } = this.#self;
    void this.publish({ id: newId(), from, name, text, time: Date.now() });
  }

  /** Also again after a failure: the same key, so it is stored once whatever became of the first. */
  async publish(message: ChatMessage): Promise<void> {
    this.#events.sending(message, "pending");
    let state: SendState = "sent";
    try {
      await this.#channel.publish({ ...message }, { key: message.id });
    } catch {
      state = "failed";
    }
    if (!this.#closed) this.#events.sending(message, state);
  }

  /** The last messages first, then the subscription from exactly there. */
  async #load(): Promise<void> {
    if (this.#loaded || this.#loading || this.#closed) return;
    this.#loading = true;
    try {
      const { publications, position } = await this.#channel.history({ limit: HISTORY_COUNT, reverse: true });
      if (this.#closed) return;
      this.#loaded = true;
      this.#events.began(publications.toReversed().map(({ data, time }) => readMessage(data, time)));
      this.#channel.subscribe(position);
    } catch (error) {
      this.#historyFailed(error);
    } finally {
      this.#loading = false;
    }
  }

  #historyFailed(error: unknown): void {
    if (this.#closed) return;
    if (error instanceof LongwireError && error.remedy === "final") {
      this.#loaded = true;
      this.#events.began([]);
      this.#events.noHistory();
      this.#channel.subscribe("latest");
    } else if (this.#client.state.status === "connected") {
      setTimeout(() => void this.#load(), RETRY_MS);
    }
  }

  #subscribed(recovered: boolean): void {
    void this.#listMembers();
    if (!recovered) void this.#reload();
  }

  #arrived(message: Message<Json>): void {
    if (this.#held === undefined) this.#events.arrived(readMessage(message.data, Date.now()));
    else this.#held.push(message);
  }

  /** What lies between was not to be had: shows what there is, instead of a hole. */
  async #reload(): Promise<void> {
    if (this.#held !== undefined) return;
    this.#held = [];
    let top = 0;
    try {
      const { publications, position } = await this.#channel.history({ limit: HISTORY_COUNT, reverse: true });
      if (this.#closed) return;
      top = position.offset;
      this.#events.began(publications.toReversed().map(({ data, time }) => readMessage(data, time)));
    } catch (error) {
      if (!(error instanceof LongwireError)) throw error;
    } finally {
      const held = this.#held;
      this.#held = undefined;
      if (!this.#closed) {
        this.#events.missed();
        for (const message of held) if ((message.offset ?? Infinity) > top) this.#arrived(message);
      }
    }
  }

  async #listMembers(): Promise<void> {
    const changes = new Map<string, string | undefined>();
    this.#listings.add(changes);
    try {
      const { members } = await this.#channel.presence();
      this.#members.clear();
      for (const member of members) this.#members.set(member.session, nameOf(member));
      for (const [session, name] of changes) this.#change(session, name);
      this.#tellMembers();
    } catch (error) {
      // The next `subscribed` asks again.
      if (!(error instanceof LongwireError)) throw error;
    } finally {
      this.#listings.delete(changes);
    }
  }

  /** undefined: not there any more. */
  #change(session: string, name: string | undefined): void {
    if (name === undefined) this.#members.delete(session);
    else this.#members.set(session, name);
    for (const changes of this.#listings) changes.set(session, name);
  }

  #join(member: Member): void {
    const isNew = !this.#members.has(member.session);
    this.#change(member.session, nameOf(member));
    this.#tellMembers();
    if (isNew && member.session !== this.#session) this.#events.joined(nameOf(member));
  }

  #leave(member: Member): void {
    this.#change(member.session, undefined);
    this.#tellMembers();
    if (member.session !== this.#session) this.#events.left(nameOf(member));
  }

  #tellMembers(): void {
    const members = Array.from(this.#members, ([session, name]) => ({ name, isSelf: session === this.#session }));
    this.#events.members(members.toSorted((a, b) => Number(b.isSelf) - Number(a.isSelf)));
  }

  get #session(): string | undefined {
    const { state } = this.#client;
    return state.status === "connected" ? state.session : undefined;
  }
}

function textOf(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

function nameOf(member: Member): string {
  const name = (member.data as { readonly name?: Json } | null | undefined)?.name;
  return textOf(name).trim().slice(0, 60) || member.user || "";
}

/** Not `crypto.randomUUID`, which a page has over https and on this machine alone: phones open the demo by an address. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Makes the best of any data: `curl` may publish a bare string. */
export function readMessage(data: Json, time: number): ChatMessage {
  const fields = (typeof data === "object" && data !== null ? data : {}) as Readonly<Record<string, Json>>;
  const { id, from, name, text, time: told } = fields;
  return {
    id: textOf(id),
    from: textOf(from),
    name: textOf(name).trim().slice(0, 60),
    text: typeof data === "string" ? data : typeof text === "string" ? text : JSON.stringify(data),
    time: typeof told === "number" && Math.abs(told) < 8.64e15 ? told : time,
  };
}
