/**
 * Damages good input, seeded: what is nearly right reaches deeper than what is plainly wrong.
 *
 *     mutateBytes(random, random.pick(good), good)      // a few cuts, flips, repeats, and pieces of another one
 *     mutateText(random, random.pick(texts), texts)     // the same in characters, with the words that have a meaning in JSON
 *     randomBytes(random, 200)
 */
import type { Random } from "@longwire/protocol/test/random";

/** Bytes that mean something to a parser of JSON, UTF-8, lines, HTTP or WebSocket frames. */
const BYTES = [
  0, 1, 9, 10, 13, 0x20, 0x22, 0x2c, 0x3a, 0x5b, 0x5c, 0x7b, 0x7d, 0x7f, 0x80, 0x81, 0xc0, 0xed, 0xf8, 0xff,
];

const WORDS =
  `" \\ , : { } [ ] - + . e E 0 "" null true 1e999 -0 9007199254740993 __proto__ constructor hasOwnProperty toString \\u0000 \\ud800 e\u0301 @ a:b
pusher.x:y wms:1 [[[[[[[[ {"a": %00 % %ff .. // ? & = # \u{1f600}`
    .split(/ |\n/)
    .concat("\n", "\r", "\0", " ", "\u2028", "\ufeff", "\r\n\r\n", "data: x\n\n");

const CHANGES_MAX = 4;

export function randomBytes(random: Random, lengthMax: number): Uint8Array {
  return Uint8Array.from({ length: random.below(lengthMax + 1) }, () => random.below(256));
}

export function mutateBytes(random: Random, good: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  let bytes = good;
  for (let left = 1 + random.below(CHANGES_MAX); left > 0; left--) bytes = changeBytes(random, bytes, others);
  return bytes;
}

export function mutateText(random: Random, good: string, others: readonly string[]): string {
  let text = good;
  for (let left = 1 + random.below(CHANGES_MAX); left > 0; left--) text = changeText(random, text, others);
  return text;
}

function changeBytes(random: Random, bytes: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  const at = random.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + random.below(12));
  switch (random.below(7)) {
    case 0:
      return bytes.length === 0 ? bytes : flipped(random, bytes);
    case 1:
      return joined(bytes.subarray(0, at), Uint8Array.of(random.pick(BYTES)), bytes.subarray(at));
    case 2:
      return joined(bytes.subarray(0, at), bytes.subarray(end));
    case 3:
      return joined(bytes.subarray(0, end), bytes.subarray(at));
    case 4:
      return bytes.subarray(0, at);
    case 5:
      return joined(
        bytes.subarray(0, at),
        Uint8Array.of(random.below(256)),
        bytes.subarray(Math.min(bytes.length, at + 1)),
      );
    default: {
      const other = random.pick(others);
      return joined(bytes.subarray(0, at), other.subarray(random.below(other.length + 1)));
    }
  }
}

function flipped(random: Random, bytes: Uint8Array): Uint8Array {
  const at = random.below(bytes.length);
  return bytes.with(at, (bytes[at] ?? 0) ^ (1 << random.below(8)));
}

function changeText(random: Random, text: string, others: readonly string[]): string {
  const at = random.below(text.length + 1);
  const end = at + random.below(12);
  switch (random.below(6)) {
    case 0:
      return text.slice(0, at) + random.pick(WORDS) + text.slice(at);
    case 1:
      return text.slice(0, at) + random.pick(WORDS) + text.slice(end);
    case 2:
      return text.slice(0, at) + text.slice(end);
    case 3:
      return text.slice(0, end) + text.slice(at);
    case 4:
      return text.slice(0, at) + String.fromCharCode(random.below(65_536)) + text.slice(at + 1);
    default: {
      const other = random.pick(others);
      return text.slice(0, at) + other.slice(random.below(other.length + 1));
    }
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}
