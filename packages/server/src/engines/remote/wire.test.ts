import { describe, expect, test } from "bun:test";
import { settle } from "../../../test/support/core.ts";
import { Turn } from "../../base/turn.ts";
import { FrameWriter } from "./frames.ts";
import { Wire, type WireSocket } from "./wire.ts";

/** A socket that takes so many bytes, until it is given room again. */
class NarrowSocket implements WireSocket {
  readonly writes: Buffer[] = [];
  room: number;
  ends = 0;
  cuts = 0;

  constructor(room = Infinity) {
    this.room = room;
  }

  write(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.room);
    this.room -= taken;
    if (taken > 0) this.writes.push(Buffer.from(bytes.subarray(0, taken)));
    return taken;
  }

  shutdown(): void {
    this.ends++;
  }

  terminate(): void {
    this.cuts++;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.writes);
  }
}

function wireOn(socket: WireSocket): Wire {
  return new Wire({ socket, turn: new Turn(), frameBytesMax: 1_000_000, take: () => undefined });
}

function frameOf(text: string): Buffer {
  return Buffer.from(new FrameWriter().begin(1).text(text).finish());
}

describe("wire", () => {
  test("frames of one turn share a write", async () => {
    const socket = new NarrowSocket();
    const wire = wireOn(socket);
    const frames = ["a", "b", "c"].map(frameOf);
    for (const frame of frames) wire.send(frame);
    expect(socket.writes).toEqual([]);
    await settle();
    expect(socket.writes).toEqual([Buffer.concat(frames)]);
    wire.send(frameOf("d"));
    await settle();
    expect(socket.writes.length).toBe(2);
    expect(wire.waitingBytes).toBe(0);
  });

  test("what the socket does not take waits, in order, whatever its sizes", async () => {
    for (const room of [0, 1, 100, 70_000]) {
      const socket = new NarrowSocket(room);
      const wire = wireOn(socket);
      const sent: Buffer[] = [];
      for (const length of [10, 70_000, 5, 60_000, 10_000, 200_000, 1, 0, 64 * 1024 - 9, 64 * 1024 - 8]) {
        const frame = frameOf("x".repeat(length));
        sent.push(frame);
        wire.send(frame);
        if (length % 4 === 0) await settle();
      }
      await settle();
      const bytes = Buffer.concat(sent);
      expect(wire.waitingBytes).toBe(bytes.length - room);
      while (wire.waitingBytes > 0) {
        socket.room = 7_777;
        wire.drain();
      }
      expect(socket.bytes.equals(bytes)).toBeTrue();
    }
  });

  test("what was handed over may be written over, unless it was said that it will not", async () => {
    const socket = new NarrowSocket(0);
    const wire = wireOn(socket);
    const [short, long] = [frameOf("short"), frameOf("l".repeat(100_000))];
    const expected = Buffer.concat([short, long]);
    for (const frame of [short, long]) {
      wire.send(frame);
      frame.fill(0);
    }
    socket.room = Infinity;
    wire.drain();
    await settle();
    expect(socket.bytes.equals(expected)).toBeTrue();
  });

  test("ends behind what waits, and takes nothing more", async () => {
    const socket = new NarrowSocket(3);
    const wire = wireOn(socket);
    wire.send(frameOf("a"));
    wire.end();
    wire.send(frameOf("b"));
    expect(socket.ends).toBe(0);
    socket.room = Infinity;
    wire.drain();
    await settle();
    expect(socket.ends).toBe(1);
    expect(socket.bytes.equals(frameOf("a"))).toBeTrue();
  });

  test("once cut, nothing waits and nothing is heard", async () => {
    const socket = new NarrowSocket(0);
    const kinds: number[] = [];
    const wire = new Wire({
      socket,
      turn: new Turn(),
      frameBytesMax: 1_000,
      take: ({ kind }) => void kinds.push(kind),
    });
    wire.send(frameOf("a"));
    wire.received(frameOf("b"));
    wire.cut();
    wire.received(frameOf("b"));
    wire.send(frameOf("c"));
    await settle();
    expect([kinds, socket.cuts, wire.waitingBytes, socket.writes.length]).toEqual([[1], 1, 0, 0]);
  });
});
