/**
 * Several cores in one process on one memory engine, as workers stand around their supervisor.
 *
 *     const cluster = buildCluster(2);                    // or buildCluster(2, { settings: { … } }), as buildCore takes
 *     const [here, there] = cluster.houses;               // each a CoreHouse
 *     const bob = await there.open({ user: "bob" });
 *     await here.control.user("bob");
 *     cluster.cut(1);      // nobody hears it any more: what is asked of it, or by it, ends after ASK_MS of the clock
 *     cluster.heal(1);
 *     cluster.kill(1);     // it is dead, and the others know
 *     cluster.bury(1);     // the others take it for dead, and it does not know
 *     cluster.fence(1);    // until it learns of it
 *     cluster.asked;       // every question that was asked, with whom it went to
 *
 * What is called reaches the engine at once; answers, publications and events come back in order, in a later turn, as over one socket.
 * What passes between peers passes through JSON.
 */
import { ERRORS, type ErrorName, type Json, type Member, type Position } from "@longwire/protocol";
import { ReplyError } from "../../src/base/failures.ts";
import { newPeerMark } from "../../src/base/ids.ts";
import { openMemoryEngine } from "../../src/engines/memory/engine.ts";
import type { Broker, Sink } from "../../src/ports/broker.ts";
import type { Engine } from "../../src/ports/engine.ts";
import { type Answering, type Answers, ASK_MS, type NodeBus } from "../../src/ports/node-bus.ts";
import type { PresenceStore } from "../../src/ports/presence.ts";
import type { StateStore } from "../../src/ports/state.ts";
import { buildCore, type CoreHouse, type CoreHouseOptions, SETTINGS } from "./core.ts";
import { FakeClock } from "./fake-clock.ts";

export interface Asked {
  readonly from: number;
  readonly to: number;
  readonly question: Json;
}

export interface Cluster {
  readonly houses: readonly CoreHouse[];
  readonly clock: FakeClock;
  /** The one behind all of them. */
  readonly engine: Engine;
  readonly buses: TestBuses;
  readonly asked: readonly Asked[];
  house(at: number): CoreHouse;
  /** Whether the process is subscribed to the channel at the engine. */
  follows(at: number, channel: string): boolean;
  cut(at: number): void;
  heal(at: number): void;
  kill(at: number): void;
  bury(at: number): void;
  fence(at: number): void;
}

export interface ClusterOptions extends Pick<CoreHouseOptions, "hooks" | "settings"> {
  /** Around what one process sees of the engine. */
  readonly wrap?: (engine: Engine, at: number) => Engine;
}

export function buildCluster(size: number, options: ClusterOptions = {}): Cluster {
  const clock = new FakeClock();
  const buses = new TestBuses(size, clock);
  const { historySize, historyMs } = { ...SETTINGS, ...options.settings }.channels;
  const links: Link[] = [];
  /** Who is subscribed to what. */
  const following = new Map<string, Set<Link>>();
  const owners = new Map<string, Link>();
  const toFollowers = (channel: string, tell: (sink: Sink) => void): void => {
    for (const link of following.get(channel) ?? []) link.bring(() => tell(link.sink));
  };
  const engine = openMemoryEngine(
    {
      retentionOf: () => ({ size: historySize, ttlMs: historyMs }),
      idempotencyMs: 300_000,
      positionTtlMs: 86_400_000,
    },
    {
      publication: (channel, epoch, publication) =>
        toFollowers(channel, (sink) => sink.publication(channel, epoch, publication)),
      event: (type, channel, member) => toFollowers(channel, (sink) => sink.event(type, channel, member)),
      top: () => undefined,
      fenced: () => undefined,
    },
    clock,
  );
  const houses = Array.from({ length: size }, (_, at) =>
    buildCore({
      ...(options.hooks !== undefined && { hooks: options.hooks }),
      ...(options.settings !== undefined && { settings: options.settings }),
      engine: {
        clock,
        open(sink) {
          const link = new Link(sink);
          links.push(link);
          const own: Engine = {
            ...engine,
            broker: linkedBroker(engine.broker, link, following),
            presence: linkedPresence(engine.presence, link, owners),
            state: linkedState(engine.state, link),
            bus: buses.at(at),
          };
          return options.wrap?.(own, at) ?? own;
        },
      },
    }),
  );
  const linkAt = (at: number): Link => {
    const link = links[at];
    if (link === undefined) throw new Error(`there is no process ${at}`);
    return link;
  };
  return {
    houses,
    clock,
    engine,
    buses,
    asked: buses.asked,
    house(at) {
      const house = houses[at];
      if (house === undefined) throw new Error(`there is no process ${at}`);
      return house;
    },
    follows: (at, channel) => following.get(channel)?.has(linkAt(at)) ?? false,
    cut: (at) => buses.cut(at),
    heal: (at) => buses.heal(at),
    bury: (at) => buses.kill(at),
    fence: (at) => linkAt(at).sink.fenced(),
    kill(at) {
      const link = linkAt(at);
      link.isDead = true;
      buses.kill(at);
      for (const [channel, followers] of following)
        if (followers.delete(link) && followers.size === 0) engine.broker.unsubscribe(channel);
      for (const [key, owner] of owners) {
        if (owner !== link) continue;
        owners.delete(key);
        const [session = "", channel = ""] = key.split(" ");
        void engine.presence.drop(channel, session);
      }
    },
  };
}

/** The way back from the engine to one process: everything in order, in a later turn. */
class Link {
  isDead = false;
  #arriving: (() => void)[] = [];

  constructor(readonly sink: Sink) {}

  bring(arrival: () => void): void {
    this.#arriving.push(arrival);
    if (this.#arriving.length > 1) return;
    setImmediate(() => {
      const arriving = this.#arriving;
      this.#arriving = [];
      for (const next of arriving) if (!this.isDead) next();
    });
  }

  /** The engine has done it by now; its answer is on its way. */
  answer<T>(result: Promise<T>): Promise<T> {
    if (this.isDead) return Promise.reject(new ReplyError("unavailable", "the engine cannot be reached"));
    return new Promise((resolve, reject) => {
      result.then(
        (value) => this.bring(() => resolve(value)),
        (error: unknown) => this.bring(() => reject(error)),
      );
    });
  }
}

function linkedBroker(broker: Broker, link: Link, following: Map<string, Set<Link>>): Broker {
  return {
    publish(channel, draft) {
      // Counted with the publication, not when its answer comes.
      const followers = following.get(channel)?.size ?? 0;
      return link.answer(broker.publish(channel, draft).then((published) => ({ ...published, followers })));
    },
    subscribe(channel): Promise<Position> {
      const followers = following.get(channel) ?? new Set<Link>();
      following.set(channel, followers.add(link));
      return link.answer(broker.subscribe(channel));
    },
    unsubscribe(channel) {
      const followers = following.get(channel);
      if (followers?.delete(link) !== true || followers.size > 0) return;
      following.delete(channel);
      broker.unsubscribe(channel);
    },
    history: (channel, query) => link.answer(broker.history(channel, query)),
    clear: (channel) => link.answer(broker.clear(channel)),
    channels: (query) => link.answer(broker.channels(query)),
  };
}

function linkedPresence(presence: PresenceStore, link: Link, owners: Map<string, Link>): PresenceStore {
  return {
    put(channel: string, member: Member) {
      owners.set(`${member.session} ${channel}`, link);
      return link.answer(presence.put(channel, member));
    },
    drop(channel, session) {
      if (owners.get(`${session} ${channel}`) !== link) return link.answer(Promise.resolve());
      owners.delete(`${session} ${channel}`);
      return link.answer(presence.drop(channel, session));
    },
    list: (channel, limit) => link.answer(presence.list(channel, limit)),
    count: (channel) => link.answer(presence.count(channel)),
  };
}

function linkedState(state: StateStore, link: Link): StateStore {
  return {
    get: (key) => link.answer(state.get(key)),
    set: (key, value, ttlMs) => link.answer(state.set(key, value, ttlMs)),
    add: (key, amount, ttlMs) => link.answer(state.add(key, amount, ttlMs)),
    touch: (key, ttlMs) => link.answer(state.touch(key, ttlMs)),
    remove: (key) => link.answer(state.remove(key)),
    position: (channel, holder) => link.answer(state.position(channel, holder)),
    acknowledge: (channel, holder, position) => link.answer(state.acknowledge(channel, holder, position)),
  };
}

type Reply =
  | { readonly answer: Json }
  | { readonly error: ErrorName; readonly detail?: string; readonly retryMs?: number; readonly path?: string };

/** Buses between peers of one process. */
export class TestBuses {
  readonly asked: Asked[] = [];
  readonly #marks: readonly string[];
  readonly #answering: (Answering | undefined)[] = [];
  readonly #isCut = new Set<number>();
  readonly #isDead = new Set<number>();

  constructor(
    size: number,
    private readonly clock: FakeClock,
  ) {
    this.#marks = Array.from({ length: size }, () => newPeerMark());
  }

  at(from: number): NodeBus {
    const self = this.#marks[from] ?? "";
    const peers = (): string[] => this.#marks.filter((mark, at) => mark !== self && !this.#isDead.has(at));
    const ask = (peer: string, question: Json): Promise<Json> => this.#ask(from, this.#marks.indexOf(peer), question);
    return {
      self,
      peers,
      listen: (answering) => {
        this.#answering[from] = answering;
      },
      ask,
      async askAll(question): Promise<Answers> {
        const asked = peers();
        const results = await Promise.allSettled(asked.map((peer) => ask(peer, question)));
        const answers = results.flatMap((result, at) =>
          result.status === "fulfilled" ? [{ peer: asked[at] as string, answer: result.value }] : [],
        );
        return { answers, missing: asked.length - answers.length };
      },
    };
  }

  cut(at: number): void {
    this.#isCut.add(at);
  }

  heal(at: number): void {
    this.#isCut.delete(at);
  }

  kill(at: number): void {
    this.#isDead.add(at);
  }

  #isLost(from: number, to: number): boolean {
    return [from, to].some((at) => this.#isCut.has(at) || this.#isDead.has(at));
  }

  #ask(from: number, to: number, question: Json): Promise<Json> {
    if (to < 0 || this.#isDead.has(to)) return Promise.reject(new ReplyError("unavailable", "no such process"));
    this.asked.push({ from, to, question });
    const sent = JSON.stringify(question);
    return new Promise((resolve, reject) => {
      const timer = this.clock.after(ASK_MS, () => reject(new ReplyError("unavailable", "no answer")));
      const hear = async (): Promise<void> => {
        if (this.#isLost(from, to)) return;
        const reply = JSON.stringify(await this.#reply(from, to, JSON.parse(sent) as Json));
        await new Promise<void>((next) => setImmediate(next));
        if (this.#isLost(from, to)) return;
        timer.cancel();
        const heard = JSON.parse(reply) as Reply;
        if ("answer" in heard) resolve(heard.answer);
        else reject(new ReplyError(heard.error, heard.detail, heard.retryMs, heard.path));
      };
      setImmediate(() => void hear());
    });
  }

  async #reply(from: number, to: number, question: Json): Promise<Reply> {
    try {
      const answering = this.#answering[to];
      if (answering === undefined) throw new Error("nobody listens");
      return { answer: await answering(question, this.#marks[from] ?? "") };
    } catch (error) {
      if (!(error instanceof ReplyError)) return { error: "unavailable", detail: "it failed" };
      const { error: name, message, retryMs, path } = error;
      const { text } = ERRORS[name];
      return {
        error: name,
        ...(message !== text && { detail: message.slice(text.length + 2) }),
        ...(retryMs !== undefined && { retryMs }),
        ...(path !== undefined && { path }),
      };
    }
  }
}
