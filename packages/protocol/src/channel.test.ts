import { describe, expect, test } from "bun:test";
import { seeded } from "../test/random.ts";
import { readVectors } from "../test/vectors.ts";
import { channelFault, isForeignWorld, namespaceOf, personalChannel, personalUser, userFault } from "./channel.ts";

interface Bad {
  readonly rule: string;
  readonly note: string;
  readonly name: unknown;
}

interface Names {
  readonly channels: {
    readonly good: readonly { name: string; namespace: string; personal?: string; foreign?: boolean }[];
    readonly bad: readonly Bad[];
  };
  readonly users: { readonly good: readonly string[]; readonly bad: readonly Bad[] };
}

const names = readVectors("names.json") as Names;

describe("channel names", () => {
  for (const { name, namespace, personal, foreign } of names.channels.good) {
    test(`[CH-9] ${JSON.stringify(name.slice(0, 40))} is a good name`, () => {
      expect(channelFault(name)).toBeUndefined();
      expect(namespaceOf(name)).toBe(namespace);
      expect(personalUser(name)).toBe(personal as string);
      expect(isForeignWorld(name)).toBe(foreign === true);
    });
  }

  for (const { rule, note, name } of names.channels.bad) {
    test(`[${rule}] refused: ${note}`, () => {
      expect(channelFault(name)).toBeString();
    });
  }

  test("[CH-3] every control character and every white space is refused, wherever it stands", () => {
    for (let unit = 0; unit < 0x10000; unit++) {
      const character = String.fromCharCode(unit);
      if (!/[\p{Cc}\s]/u.test(character)) continue;
      for (const name of [character, `a${character}`, `${character}a`, `a${character}b`, `é${character}`]) {
        expect(channelFault(name)).toBeString();
      }
    }
  });

  test("[CH-4] every lone surrogate is refused: two of them would be one topic", () => {
    for (let unit = 0xd800; unit < 0xe000; unit++) expect(channelFault(`a${String.fromCharCode(unit)}`)).toBeString();
  });

  test("[CH-1] the limit is of bytes, whatever the characters", () => {
    seeded((random) => {
      for (let round = 0; round < 2000; round++) {
        const name = `c${random.text(120)}`;
        const fits = new TextEncoder().encode(name).length <= 200;
        expect([name, channelFault(name) === undefined]).toEqual([name, fits]);
      }
    });
  });
});

describe("user names", () => {
  for (const user of names.users.good) {
    test(`[CH-8] ${JSON.stringify(user.slice(0, 40))} is a good user, and its personal channel a good channel`, () => {
      expect(userFault(user)).toBeUndefined();
      expect(channelFault(personalChannel(user))).toBeUndefined();
      expect(personalUser(personalChannel(user))).toBe(user);
    });
  }

  for (const { rule, note, name } of names.users.bad) {
    test(`[${rule}] refused: ${note}`, () => {
      expect(userFault(name)).toBeString();
    });
  }
});
