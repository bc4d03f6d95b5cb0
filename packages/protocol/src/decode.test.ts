import { describe, expect, test } from "bun:test";
import { type RandomJson, seeded } from "../test/random.ts";
import { canonical, readVectors } from "../test/vectors.ts";
import type { ErrorName } from "./codes.ts";
import { CommandFault, decodeCommand, depthOf, readCommand } from "./decode.ts";
import type { Command } from "./messages.ts";

const good = readVectors("commands.json") as {
  readonly depthMax: number;
  readonly vectors: readonly { rule: string; note: string; text: string; command: Command }[];
};

const bad = readVectors("faults.json") as {
  readonly depthMax: number;
  readonly vectors: readonly {
    rule: string;
    note: string;
    text: string;
    error: ErrorName;
    id?: number;
    says?: string;
  }[];
};

/** The fault of a text; fails for a text that is a command and for any other error. */
function faultOf(text: string, depthMax: number): CommandFault {
  try {
    decodeCommand(text, depthMax);
  } catch (fault) {
    if (fault instanceof CommandFault) return fault;
    throw fault;
  }
  throw new Error(`this was read as a command: ${text.slice(0, 200)}`);
}

describe("texts that are commands", () => {
  for (const { rule, note, text, command } of good.vectors) {
    test(`[${rule}] ${note}`, () => {
      expect(canonical(decodeCommand(text, good.depthMax))).toBe(canonical(command));
    });

    test(`[${rule}] written and read again: ${note}`, () => {
      expect(canonical(decodeCommand(JSON.stringify(command), good.depthMax))).toBe(canonical(command));
    });
  }

  test("[FR-4] every command stands in the vectors", () => {
    const types = new Set(good.vectors.map(({ command }) => command.type));
    expect([...types].toSorted()).toEqual([
      "ack",
      "call",
      "connect",
      "history",
      "ping",
      "pong",
      "presence",
      "publish",
      "refresh",
      "subscribe",
      "unsubscribe",
    ]);
  });

  test("[RE-8] an offset written as -0 is 0", () => {
    for (const text of [
      '{"type":"ack","channel":"a","offset":-0}',
      '{"type":"subscribe","channel":"a","since":{"epoch":"e","offset":-0}}',
      '{"type":"connect","since":{"a":{"epoch":"e","offset":-0}}}',
    ]) {
      const { offset, since } = decodeCommand(text, 4) as unknown as { offset?: unknown; since?: { offset?: unknown } };
      const found = offset ?? since?.offset ?? (since as Record<string, { offset: unknown }>)["a"]?.offset;
      expect(Object.is(found, 0)).toBe(true);
    }
  });

  test("[CH-9] positions for the channel __proto__ change no prototype", () => {
    const text = '{"type":"connect","since":{"__proto__":{"epoch":"e","offset":1}}}';
    const command = decodeCommand(text, 4) as { since: Record<string, unknown> };
    expect(Object.keys(command.since)).toEqual(["__proto__"]);
    expect(({} as Record<string, unknown>)["epoch"]).toBeUndefined();
  });
});

describe("texts that are no commands", () => {
  for (const { rule, note, text, error, id, says } of bad.vectors) {
    test(`[${rule}] ${note}`, () => {
      const fault = faultOf(text, bad.depthMax);
      expect({ error: fault.error, id: fault.id }).toEqual({ error, id });
      expect(fault.message).toContain(says ?? "");
    });
  }

  test("[CH-4] a channel with half a surrogate pair that is no escape", () => {
    expect(faultOf('{"type":"presence","id":1,"channel":"a\ud800"}', 4).error).toBe("badChannel");
  });

  test("[FR-1] brackets without end, as many as fit into a large message, cost no stack", () => {
    for (const [open, close] of [
      ["[", "]"],
      ['{"a":', "}"],
    ] as const) {
      const half = open.repeat(300_000);
      expect(faultOf(half, 32).error).toBe("malformed");
      const whole = `{"type":"publish","id":1,"channel":"a","data":${half}1${close.repeat(300_000)}}`;
      expect(["malformed", "tooDeep"]).toContain(faultOf(whole, 32).error);
    }
  });

  test("[FR-16] a refusal does not repeat what was sent at length", () => {
    for (const { text } of bad.vectors) expect(faultOf(text, bad.depthMax).message.length).toBeLessThan(500);
    expect(faultOf(`{"type":${JSON.stringify("x".repeat(10_000))}}`, 4).message.length).toBeLessThan(200);
  });

  test("[FR-1] changed texts are commands or faults, never another error, and a command read once reads the same again", () => {
    const texts = [...good.vectors, ...bad.vectors].map(({ text }) => text).filter((text) => text.length < 1000);
    const pieces = [
      '"',
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      "null",
      "-",
      "0",
      "9",
      "\\",
      "\\ud800",
      "\u0000",
      "é",
      "__proto__",
    ];
    seeded((random) => {
      for (let round = 0; round < 20_000; round++) {
        let text = random.pick(texts);
        for (let changes = random.below(3) + 1; changes > 0; changes--) {
          const at = random.below(text.length + 1);
          const piece = random.chance(30) ? random.pick(texts).slice(0, random.below(20)) : random.pick(pieces);
          text = text.slice(0, at) + piece + text.slice(at + random.below(4));
        }
        try {
          const command = decodeCommand(text, 4);
          expect(canonical(decodeCommand(JSON.stringify(command), 4))).toBe(canonical(command));
        } catch (fault) {
          if (!(fault instanceof CommandFault)) throw new Error(`for ${JSON.stringify(text)}`, { cause: fault });
        }
      }
    });
  });

  test("[FR-3] any values in the fields of any command are commands or faults", () => {
    const keys = ["id", "channel", "data", "since", "token", "presence", "offset", "limit", "name", "key", "method"];
    const types = ["connect", "subscribe", "publish", "ack", "history", "call", "refresh", "presence"];
    seeded((random) => {
      for (let round = 0; round < 10_000; round++) {
        const fields: Record<string, RandomJson> = { type: random.pick(types) };
        for (const key of keys) if (random.chance(40)) fields[key] = random.json(5);
        if (random.chance(50)) fields["channel"] = "a";
        try {
          expect(readCommand(fields, 4).type as string).toBe(fields["type"] as string);
        } catch (fault) {
          if (!(fault instanceof CommandFault)) throw new Error(`for ${JSON.stringify(fields)}`, { cause: fault });
        }
      }
    });
  });
});

describe("depth", () => {
  const depthByRecursion = (value: unknown): number => {
    if (typeof value !== "object" || value === null) return 0;
    return 1 + Math.max(0, ...Object.values(value).map(depthByRecursion));
  };

  test("[FR-12] of any value is what a recursion counts", () => {
    seeded((random) => {
      for (let round = 0; round < 5000; round++) {
        const value = random.json(7);
        expect(depthOf(value, 100)).toBe(depthByRecursion(value));
      }
    });
  });

  test("[FR-12] is not counted further than asked", () => {
    let value: unknown = 1;
    for (let level = 0; level < 100_000; level++) value = [value];
    expect(depthOf(value, 5)).toBe(6);
  });
});
