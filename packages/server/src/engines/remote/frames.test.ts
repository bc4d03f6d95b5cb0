import { describe, expect, test } from "bun:test";
import { FrameFault, FrameInput, type FrameReader, FrameWriter } from "./frames.ts";

const SEED = Number(process.env["SEED"] ?? 20_261_120);

/** A small generator with a seed (mulberry32): what has failed can be had again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below;
  };
}

type Field = number | boolean | string | undefined;

interface Sample {
  readonly kind: number;
  readonly fields: readonly Field[];
}

const TEXTS = ["", "a", "你好 👋", "\u0000", "\ud83d", "\udc4b and more", "x".repeat(5_000), "é".repeat(70_000)];

function sampleOf(random: (below: number) => number): Sample {
  const count = Math.floor(random(6));
  const fields = Array.from({ length: count }, (): Field => {
    const choice = Math.floor(random(4));
    if (choice === 0) return random(2) < 1;
    if (choice === 1) return Math.floor(random(2 ** 53)) * (random(2) < 1 ? -1 : 1) + 0.5;
    if (choice === 2) return undefined;
    return TEXTS[Math.floor(random(random(20) < 1 ? TEXTS.length : TEXTS.length - 1))];
  });
  return { kind: Math.floor(random(255)) + 1, fields };
}

function write(writer: FrameWriter, { kind, fields }: Sample): Buffer {
  writer.begin(kind);
  for (const field of fields) {
    if (typeof field === "boolean") writer.flag(field);
    else if (typeof field === "number") writer.number(field);
    else writer.text(field);
  }
  return Buffer.from(writer.finish());
}

function read(reader: FrameReader, { fields }: Sample): Sample {
  return {
    kind: reader.kind,
    fields: fields.map((field) => {
      if (typeof field === "boolean") return reader.flag();
      return typeof field === "number" ? reader.number() : reader.optionalText();
    }),
  };
}

describe("frames", () => {
  test(`random frames come out as they went in, wherever the pieces are cut (SEED=${SEED})`, () => {
    const random = randomOf(SEED);
    for (let round = 0; round < 60; round++) {
      const writer = new FrameWriter();
      const samples = Array.from({ length: 1 + Math.floor(random(20)) }, () => sampleOf(random));
      const bytes = Buffer.concat(samples.map((sample) => write(writer, sample)));
      const out: Sample[] = [];
      const input = new FrameInput(1_000_000, (reader) => out.push(read(reader, samples[out.length] as Sample)));
      // From byte by byte to all at once.
      const pieceMax = 1 + random(random(3) < 1 ? 8 : bytes.length);
      for (let at = 0; at < bytes.length;) {
        const end = at + Math.ceil(random(pieceMax));
        input.push(Buffer.from(bytes.subarray(at, end)));
        at = end;
      }
      expect(out).toEqual(samples);
    }
  });

  test("a writer may be used again after a long frame", () => {
    const writer = new FrameWriter();
    const texts = ["x".repeat(3_000_000), "short", "y".repeat(200_000)];
    const out: string[] = [];
    const input = new FrameInput(10_000_000, (reader) => out.push(reader.text()));
    for (const text of texts) input.push(Buffer.from(writer.begin(1).text(text).finish()));
    expect(out).toEqual(texts);
  });

  test("damaged frames are faults and nothing else", () => {
    const random = randomOf(SEED + 1);
    const writer = new FrameWriter();
    for (let round = 0; round < 3_000; round++) {
      const sample = sampleOf(random);
      const bytes = write(writer, sample);
      for (let hits = 1 + random(4); hits > 0; hits--)
        bytes[Math.floor(random(bytes.length))] = Math.floor(random(256));
      const input = new FrameInput(200_000, (reader) => read(reader, sample));
      try {
        input.push(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(FrameFault);
      }
    }
  });

  test("a length beyond the limit, or of nothing, is a fault before anything is kept for it", () => {
    for (const length of [0, 1_001, 0xffff_ffff]) {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(length);
      expect(() => new FrameInput(1_000, () => undefined).push(bytes)).toThrow(FrameFault);
    }
  });

  test("fields that are not there are faults", () => {
    const frame = Buffer.from(new FrameWriter().begin(1).flag(true).finish());
    for (const wrong of [
      (reader: FrameReader) => reader.number(),
      (reader: FrameReader) => reader.count(),
      (reader: FrameReader) => reader.text(),
    ]) {
      expect(() => new FrameInput(1_000, wrong).push(frame)).toThrow(FrameFault);
    }
    const missing = Buffer.from(new FrameWriter().begin(1).text(undefined).finish());
    expect(() => new FrameInput(1_000, (reader) => reader.text()).push(missing)).toThrow("a text is missing");
  });

  test("once stopped, nothing more is handed on", () => {
    const writer = new FrameWriter();
    const frames = [1, 2, 3].map((kind) => Buffer.from(writer.begin(kind).finish()));
    const kinds: number[] = [];
    const input = new FrameInput(1_000, ({ kind }) => {
      kinds.push(kind);
      if (kind === 2) input.stop();
    });
    input.push(Buffer.concat(frames));
    input.push(frames[0] as Buffer);
    expect(kinds).toEqual([1, 2]);
  });
});
