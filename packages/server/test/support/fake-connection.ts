/**
 * A connection without a socket: tests read what was sent and say how much of it the client has taken.
 *
 *     const connection = new FakeConnection();          // or new FakeConnection({ topics: new FakeFanout() })
 *     connection.frames();                              // everything sent, parsed
 *     connection.stalled = true;                        // the client stops reading: `buffered()` grows
 *     connection.take();                                // it reads everything; the caller then calls gateway.drained
 *     connection.goodbye                                // the Disconnect it was closed with
 */
import type { ServerFrame } from "@longwire/protocol";
import type { Disconnect } from "../../src/base/failures.ts";
import type { Connection, Fanout, Frame, Hearing } from "../../src/ports/connection.ts";

/** Topics in memory: publishes reach the members at once. */
export class FakeFanout implements Fanout {
  readonly members = new Map<string, Set<FakeConnection>>();
  publishes = 0;

  publish(topic: string, frame: Frame): boolean {
    this.publishes++;
    let free = true;
    for (const member of this.members.get(topic) ?? []) {
      member.receive([frame]);
      if (member.buffered() > 0) free = false;
    }
    return free;
  }
}

export class FakeConnection implements Connection {
  readonly address = "192.0.2.1";
  readonly hearing: Hearing;
  readonly fanout: FakeFanout | null;
  /** Each element is one write. */
  readonly writes: Frame[][] = [];
  stalled = false;
  pings = 0;
  paused = false;
  isCut = false;
  goodbye: Disconnect | undefined = undefined;
  #queued = 0;

  constructor(options: { readonly topics?: FakeFanout; readonly hearing?: Hearing } = {}) {
    this.hearing = options.hearing ?? "pongs";
    this.fanout = options.topics ?? null;
  }

  send(frames: readonly Frame[]): void {
    if (this.goodbye === undefined) this.receive(frames);
  }

  receive(frames: readonly Frame[]): void {
    this.writes.push([...frames]);
    if (this.stalled)
      for (const frame of frames) this.#queued += typeof frame === "string" ? Buffer.byteLength(frame) : frame.length;
  }

  buffered(): number {
    return this.#queued;
  }

  take(): void {
    this.#queued = 0;
  }

  join(topic: string): void {
    const members = this.fanout?.members.get(topic) ?? new Set();
    members.add(this);
    this.fanout?.members.set(topic, members);
  }

  leave(topic: string): void {
    this.fanout?.members.get(topic)?.delete(this);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  ping(): void {
    this.pings++;
  }

  close(goodbye: Disconnect): void {
    this.goodbye = goodbye;
  }

  cut(): void {
    this.isCut = true;
  }

  frames(): ServerFrame[] {
    return this.writes.flat().map((text) => JSON.parse(String(text)) as ServerFrame);
  }

  /** The offsets of the messages of a channel, in the order of their arrival. */
  offsets(channel: string): number[] {
    return this.frames().flatMap((frame) =>
      frame.type === "message" && frame.channel === channel && frame.offset !== undefined ? [frame.offset] : [],
    );
  }
}
