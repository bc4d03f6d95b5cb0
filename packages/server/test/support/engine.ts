/**
 * What the contract suites of the engine ports stand on.
 *
 *     brokerContract("memory", (settings, sink, clock) => Promise.resolve(openMemoryEngine(settings, sink, clock)));
 *
 * `OpenEngine` opens an empty engine; the suite closes it. An engine on disk opens each in a folder of its own and
 * removes that after the tests. `RecordingSink` writes down what subscribers would get; `settingsOf` fills in what
 * a test does not care about; `draftOf("text")` is the plainest thing to publish.
 */
import type { Member, Position } from "@longwire/protocol";
import type { Clock } from "../../src/base/clock.ts";
import type { Draft, Publication, Retention, Sink } from "../../src/ports/broker.ts";
import type { Engine, EngineSettings } from "../../src/ports/engine.ts";

export type OpenEngine = (settings: EngineSettings, sink: Sink, clock: Clock) => Promise<Engine>;

export interface Delivered {
  readonly channel: string;
  readonly epoch: string;
  readonly publication: Publication;
}

export class RecordingSink implements Sink {
  readonly delivered: Delivered[] = [];
  readonly events: { readonly type: "join" | "leave"; readonly channel: string; readonly member: Member }[] = [];
  readonly tops: { readonly channel: string; readonly position: Position }[] = [];
  fences = 0;
  /** Called after each one is written down: to look at the order of things, or to publish from inside. */
  after: ((delivered: Delivered) => void) | undefined;

  publication(channel: string, epoch: string, publication: Publication): void {
    const delivered = { channel, epoch, publication };
    this.delivered.push(delivered);
    this.after?.(delivered);
  }

  event(type: "join" | "leave", channel: string, member: Member): void {
    this.events.push({ type, channel, member });
  }

  top(channel: string, position: Position): void {
    this.tops.push({ channel, position });
  }

  fenced(): void {
    this.fences++;
  }

  /** Offsets of one channel in the order of their arrival. */
  offsets(channel: string): number[] {
    return this.delivered.filter((one) => one.channel === channel).map((one) => one.publication.offset);
  }

  /** Data of all channels in the order of their arrival. */
  get data(): string[] {
    return this.delivered.map((one) => one.publication.data);
  }
}

export const RETENTION: Retention = { size: 100, ttlMs: 60_000 };

export function settingsOf(changed: Partial<EngineSettings> = {}): EngineSettings {
  return { retentionOf: () => RETENTION, idempotencyMs: 300_000, positionTtlMs: 30 * 86_400_000, ...changed };
}

export function draftOf(data: string, rest: Partial<Omit<Draft, "data">> = {}): Draft {
  return { data: JSON.stringify(data), keep: true, ...rest };
}
