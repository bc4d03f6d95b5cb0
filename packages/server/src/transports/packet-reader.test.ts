import { describe, expect, test } from "bun:test";
import type { Framing } from "../ports/framing.ts";
import { frameFraming, jsonFraming, textFraming } from "./framings.ts";
import { PacketReader, PacketTooLarge } from "./packet-reader.ts";

const MAX = 64 * 1024;

function read(reader: PacketReader, chunk: Uint8Array): Uint8Array[] {
  const packets: Uint8Array[] = [];
  reader.push(chunk);
  for (let packet = reader.next(); packet !== null; packet = reader.next()) packets.push(packet);
  reader.settle();
  return packets;
}

/** Reads the pieces, and decodes at the end: what was handed out must not have been written over meanwhile. */
function messagesOf(framing: Framing, pieces: readonly Uint8Array[]): (string | null)[] {
  const reader = new PacketReader(framing, MAX);
  const packets = pieces.flatMap((piece) => read(reader, piece));
  expect(reader.rest).toBe(0);
  return packets.map((packet) => {
    const message = framing.decode(packet);
    return message === null ? null : Buffer.from(message as string).toString("latin1");
  });
}

const STREAMS: [name: string, framing: Framing, messages: string[], bytes: Uint8Array][] = [
  ["json", jsonFraming, ["{}", '{"a":1}', "[]"], Buffer.from('{}\r\n\n{"a":1}\n\r\n[]\n')],
  ["text", textFraming, ["one", "two ", "three"], Buffer.from("one\n\ntwo \r\n\nthree\n")],
  ["frame", frameFraming, ["", "\n\0", "abc"], Buffer.from([0, 0, 0, 4, 0, 0, 0, 6, 10, 0, 0, 0, 0, 7, 97, 98, 99])],
];

function told(messages: (string | null)[]): (string | null)[] {
  return messages.filter((message) => message !== null);
}

describe.each(STREAMS)("%s", (_name, framing, messages, bytes) => {
  test("[TC-2] cut at every two positions, the messages are the same", () => {
    for (let first = 0; first <= bytes.length; first++) {
      for (let second = first; second <= bytes.length; second++) {
        const pieces = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)];
        expect(told(messagesOf(framing, pieces))).toEqual(messages);
      }
    }
  });

  test("[TC-2] byte by byte, the messages are the same", () => {
    expect(
      told(
        messagesOf(
          framing,
          [...bytes].map((byte) => Uint8Array.of(byte)),
        ),
      ),
    ).toEqual(messages);
  });

  test("what a message was sent as is what it is read as", () => {
    for (const message of messages.filter((one) => one !== "")) {
      const [read = null] = messagesOf(framing, [framing.encode(message)]);
      expect(read).toBe(message);
    }
  });
});

test("a long message in small pieces is looked at once per byte, and copied a few times", () => {
  const seen: number[] = [];
  const reader = new PacketReader(
    {
      input(bytes, from) {
        seen.push(bytes.length - from);
        return jsonFraming.input(bytes, from);
      },
    },
    MAX,
  );
  const buffers = new Set<ArrayBufferLike>();
  for (let count = 0; count < MAX - 1; count++) {
    expect(read(reader, Uint8Array.of(120))).toEqual([]);
    buffers.add(reader.peek().buffer);
  }
  expect(read(reader, Uint8Array.of(10))).toHaveLength(1);
  expect(seen.reduce((sum, bytes) => sum + bytes, 0)).toBe(MAX);
  expect(buffers.size).toBeLessThan(30);
});

test("a length that is known is waited for without asking again", () => {
  let asked = 0;
  const reader = new PacketReader(
    {
      input(bytes, from) {
        asked++;
        return frameFraming.input(bytes, from);
      },
    },
    MAX,
  );
  const packet = frameFraming.encode("x".repeat(1000));
  expect([...packet].flatMap((byte) => read(reader, Uint8Array.of(byte)))).toHaveLength(1);
  expect(asked).toBe(5);
});

test("[TC-4] a packet of the largest size is taken; one byte more is not, as soon as it shows", () => {
  const line = Buffer.alloc(MAX, "x");
  line[MAX - 1] = 10;
  expect(read(new PacketReader(jsonFraming, MAX), line)).toHaveLength(1);
  expect(() => read(new PacketReader(jsonFraming, MAX), Buffer.alloc(MAX + 1, "x"))).toThrow(PacketTooLarge);
  expect(read(new PacketReader(jsonFraming, MAX), Buffer.alloc(MAX, "x"))).toEqual([]);
  expect(() => read(new PacketReader(frameFraming, MAX), Uint8Array.of(0, 1, 0, 1))).toThrow(PacketTooLarge);
  expect(read(new PacketReader(frameFraming, MAX), Uint8Array.of(0, 1, 0, 0))).toEqual([]);
});

test("[TC-4] lengths of 0 to 3 are faults", () => {
  for (const length of [0, 1, 2, 3]) {
    expect(() => read(new PacketReader(frameFraming, MAX), Uint8Array.of(0, 0, 0, length))).toThrow(/length of/);
  }
});

test("the rest of a large piece does not keep the piece", () => {
  const reader = new PacketReader(jsonFraming, MAX);
  const large = Buffer.alloc(512 * 1024, "x\n");
  expect(read(reader, Buffer.concat([large, Buffer.from("rest")]))).toHaveLength(256 * 1024);
  expect(reader.peek().buffer.byteLength).toBeLessThan(2048);
  // And a small rest before it.
  read(reader, large);
  expect(read(reader, Buffer.from("rest"))).toEqual([]);
  expect(reader.peek().buffer.byteLength).toBeLessThan(2048);
});

test("a framing that answers nonsense is found out", () => {
  for (const nonsense of [-1, 1.5, Number.NaN]) {
    expect(() => read(new PacketReader({ input: () => nonsense }, MAX), Uint8Array.of(1))).toThrow(TypeError);
  }
});
