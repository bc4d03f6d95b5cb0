/** The engine's ports in a worker, on the link to the supervisor. */
import type { Member, Position } from "@longwire/protocol";
import type { Broker, Sink } from "../../ports/broker.ts";
import type { Engine } from "../../ports/engine.ts";
import type { PresenceStore } from "../../ports/presence.ts";
import type { StateStore } from "../../ports/state.ts";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";
import { RemoteBus } from "./bus.ts";
import type { FrameReader } from "./frames.ts";
import {
  FROM_SUPERVISOR,
  FROM_WORKER,
  type Health,
  readJson,
  readPage,
  readPosition,
  readPublication,
  readPublished,
  type Welcome,
  writeDraft,
  writeQuery,
} from "./messages.ts";
import { SupervisorLink } from "./supervisor-link.ts";
import type { Wire } from "./wire.ts";

export interface RemoteEngineParts {
  readonly self: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onLost: () => void;
}

const GONE = "the supervisor is gone";

export class RemoteEngine {
  readonly link: SupervisorLink;
  readonly #bus: RemoteBus;
  readonly #leaving = new Leaving();
  #sink: Sink | undefined;
  #health: Health = { ready: true };
  #isClosing = false;

  constructor(
    private readonly wire: Wire,
    private readonly parts: RemoteEngineParts,
  ) {
    this.link = new SupervisorLink(wire, parts.clock);
    this.#bus = new RemoteBus(parts.self, this.link, parts.log);
  }

  open(sink: Sink): Engine {
    this.#sink = sink;
    // Nobody asks this peer before it says that it listens.
    this.link.tell(FROM_WORKER.open);
    return {
      broker: brokerOf(this.link, this.#leaving),
      presence: presenceOf(this.link),
      state: stateOf(this.link),
      bus: this.#bus,
      health: () => this.#health,
      close: () => this.close(),
    };
  }

  /** What was asked is answered before the connection ends; other processes are not waited for. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.link.finish("the server is stopping");
    this.wire.end();
  }

  /** Nothing was asked yet, so there is nothing to wait for. */
  abandon(): Promise<void> {
    this.#isClosing = true;
    this.wire.cut();
    this.lost();
    return Promise.resolve();
  }

  lost(): void {
    this.#health = { ready: false, reason: GONE };
    this.link.lost(GONE);
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.parts.onLost();
  }

  take(frame: FrameReader): void {
    switch (frame.kind) {
      case FROM_SUPERVISOR.publication:
        this.#publication(frame);
        return;
      case FROM_SUPERVISOR.reply:
        this.link.answered(frame.count(), frame);
        return;
      case FROM_SUPERVISOR.failed:
        this.link.failed(frame.count(), frame.text());
        return;
      case FROM_SUPERVISOR.unsubscribed:
        this.#leaving.left(frame.text());
        return;
      case FROM_SUPERVISOR.ping:
        this.link.tell(FROM_WORKER.pong);
        return;
      case FROM_SUPERVISOR.asked:
        void this.#bus.asked(frame.text(), frame.count(), frame.text());
        return;
      default:
        this.#takeRare(frame);
    }
  }

  #takeRare(frame: FrameReader): void {
    switch (frame.kind) {
      case FROM_SUPERVISOR.welcome: {
        const { peers, health } = readJson(frame) as Welcome;
        for (const peer of peers) this.#bus.joined(peer);
        this.#health = health;
        return;
      }
      case FROM_SUPERVISOR.event: {
        const type = frame.flag() ? "join" : "leave";
        const channel = frame.text();
        const member = readJson(frame) as Member;
        if (!this.#leaving.has(channel)) this.#sink?.event(type, channel, member);
        return;
      }
      case FROM_SUPERVISOR.top: {
        const channel = frame.text();
        const position: Position = readPosition(frame);
        if (!this.#leaving.has(channel)) this.#sink?.top(channel, position);
        return;
      }
      case FROM_SUPERVISOR.fenced:
        this.#sink?.fenced();
        return;
      case FROM_SUPERVISOR.joined:
        this.#bus.joined(frame.text());
        return;
      case FROM_SUPERVISOR.left:
        this.#bus.left(frame.text());
        return;
      case FROM_SUPERVISOR.health:
        this.#health = readJson(frame) as Health;
        return;
      default:
        throw new Error(`the supervisor sends frames of kind ${frame.kind}`);
    }
  }

  #publication(frame: FrameReader): void {
    const channel = frame.text();
    const epoch = frame.text();
    const publication = readPublication(frame);
    if (!this.#leaving.has(channel)) this.#sink?.publication(channel, epoch, publication);
  }
}

/**
 * Channels that were unsubscribed while the supervisor did not know yet: what still comes of them is for a subscription that has ended, also where there is
 * a new one meanwhile.
 */
class Leaving {
  readonly #channels = new Map<string, number>();

  leave(channel: string): void {
    this.#channels.set(channel, (this.#channels.get(channel) ?? 0) + 1);
  }

  left(channel: string): void {
    const count = (this.#channels.get(channel) ?? 0) - 1;
    if (count > 0) this.#channels.set(channel, count);
    else this.#channels.delete(channel);
  }

  has(channel: string): boolean {
    return this.#channels.size > 0 && this.#channels.has(channel);
  }
}

function brokerOf(link: SupervisorLink, leaving: Leaving): Broker {
  return {
    publish: (channel, draft) =>
      link.bulk(FROM_WORKER.publish, readPublished, (writer) => writeDraft(writer.text(channel), draft)),
    subscribe: (channel) => link.request(FROM_WORKER.subscribe, readPosition, (writer) => writer.text(channel)),
    unsubscribe(channel) {
      leaving.leave(channel);
      link.tell(FROM_WORKER.unsubscribe, (writer) => writer.text(channel));
    },
    history: (channel, query) =>
      link.request(FROM_WORKER.history, readPage, (writer) => writeQuery(writer.text(channel), query)),
    clear: (channel) => link.call("clear", channel),
    channels: (query) => link.call("channels", query),
  };
}

function presenceOf(link: SupervisorLink): PresenceStore {
  return {
    put: (channel, member) => link.call("put", channel, member),
    drop: (channel, session) => link.call("drop", channel, session),
    list: (channel, limit) => link.call("list", channel, limit),
    count: (channel) => link.call("count", channel),
  };
}

function stateOf(link: SupervisorLink): StateStore {
  return {
    get: (key) => link.call("get", key),
    set: (key, value, ttlMs) => link.call("set", key, value, ttlMs),
    add: (key, amount, ttlMs) => link.call("add", key, amount, ttlMs),
    touch: (key, ttlMs) => link.call("touch", key, ttlMs),
    remove: (key) => link.call("remove", key),
    position: (channel, holder) => link.call("position", channel, holder),
    acknowledge: (channel, holder, position) => link.call("acknowledge", channel, holder, position),
  };
}
