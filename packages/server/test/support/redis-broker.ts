/**
 * A broker on Redis by itself, for tests of the broker and of its way to Redis:
 *
 *     const node = await openNode({ urls: [redis.url] });
 *     await node.broker.publish("a", draftOf("x"));
 *     node.sink.offsets("a"); node.link.fault; node.log.lines;
 *     await node.close();
 */
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { newPeerMark } from "../../src/base/ids.ts";
import type { LogFields, Logger } from "../../src/base/log.ts";
import { RedisBroker } from "../../src/engines/redis/broker.ts";
import type { Link, LinkSettings } from "../../src/engines/redis/link.ts";
import { openLink } from "../../src/engines/redis/link-open.ts";
import type { Sink } from "../../src/ports/broker.ts";
import type { EngineSettings } from "../../src/ports/engine.ts";
import { RecordingSink, settingsOf } from "./engine.ts";

export class RecordingLog implements Logger {
  readonly lines: string[] = [];

  debug(): void {}
  info(event: string, fields?: LogFields): void {
    this.#write(event, fields);
  }
  warn(event: string, fields?: LogFields): void {
    this.#write(event, fields);
  }
  error(event: string, fields?: LogFields): void {
    this.#write(event, fields);
  }

  #write(event: string, fields: LogFields = {}): void {
    this.lines.push(`${event} ${Bun.inspect(fields)}`);
  }
}

export function linkSettings(changed: Partial<LinkSettings> & Pick<LinkSettings, "urls">): LinkSettings {
  return {
    mode: "single",
    master: "mymaster",
    user: undefined,
    password: undefined,
    sentinelUser: undefined,
    sentinelPassword: undefined,
    database: 0,
    ca: undefined,
    prefix: "test",
    waitReplicas: 0,
    ...changed,
  };
}

export interface BrokerNode<S extends Sink = RecordingSink> {
  readonly link: Link;
  readonly broker: RedisBroker;
  readonly sink: S;
  readonly log: RecordingLog;
  close(): Promise<void>;
}

export async function openNode(
  changed: Partial<LinkSettings> & Pick<LinkSettings, "urls">,
  engine: Partial<EngineSettings> = {},
  time: Partial<Clock> = {},
): Promise<BrokerNode> {
  return await openNodeWith(new RecordingSink(), changed, settingsOf(engine), { ...systemClock, ...time });
}

export async function openNodeWith<S extends Sink>(
  sink: S,
  changed: Partial<LinkSettings> & Pick<LinkSettings, "urls">,
  engine: EngineSettings,
  clock: Clock = systemClock,
): Promise<BrokerNode<S>> {
  const log = new RecordingLog();
  const settings = linkSettings(changed);
  const link = await openLink({ settings, clock, log });
  const { prefix, waitReplicas } = settings;
  const deps = { link, settings: engine, sink, clock, log, prefix, mark: newPeerMark(), waitReplicas };
  const broker = new RedisBroker(deps);
  return {
    link,
    broker,
    sink,
    log,
    close() {
      broker.close();
      return link.close();
    },
  };
}
