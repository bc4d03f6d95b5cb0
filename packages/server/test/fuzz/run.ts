/**
 * What every fuzz run has in common: its seed and count, the input at which it failed, and what must be as before when it is over.
 *
 *     const FUZZ = fuzzRun({ short: 2000, full: 400_000 });
 *     await FUZZ.each("decoder", (random, n) => …);       // `n` counts; prints how many inputs, with which seed
 *     const calm = await FUZZ.calm();                      // memory and descriptors now …
 *     await calm.isBack();                                 // … and again after it all
 *
 * `LONGWIRE_SLOW=full` takes the full count, `LONGWIRE_SEED` the seed; `LONGWIRE_FUZZ_INPUTS` multiplies the count.
 */
import { heapStats } from "bun:jsc";
import { expect } from "bun:test";
import { readdirSync } from "node:fs";
import { Random } from "@longwire/protocol/test/random";

const SEED = Number(process.env["LONGWIRE_SEED"] ?? 1);
const FACTOR = Number(process.env["LONGWIRE_FUZZ_INPUTS"] ?? 1);

/** What no collection takes away, whatever was run: compiled code and caches of the runtime in the heap, pages of its allocators beside it. */
const HEAP_SLACK_BYTES = 12 * 1024 ** 2;
const RESIDENT_SLACK_BYTES = 160 * 1024 ** 2;
const DESCRIPTOR_SLACK = 4;

/** Inputs between two looks at the event loop: answers, timers and sockets have to get their turn. */
const INPUTS_PER_TURN = 500;

export interface Calm {
  isBack(): Promise<void>;
}

export interface FuzzRun {
  readonly count: number;
  each(name: string, one: (random: Random, n: number) => void | Promise<void>): Promise<void>;
  calm(): Promise<Calm>;
}

export function fuzzRun(counts: { readonly short: number; readonly full: number }): FuzzRun {
  const count = Math.ceil((process.env["LONGWIRE_SLOW"] === "full" ? counts.full : counts.short) * FACTOR);
  return {
    count,
    async each(name, one) {
      const began = performance.now();
      for (let n = 0; n < count; n++) {
        // One of its own for each: the input of a failure is had again without those before it.
        const random = new Random(SEED * 1_000_003 + n);
        try {
          const running = one(random, n);
          if (running !== undefined) await running;
        } catch (cause) {
          throw new Error(`${name}, input ${n} failed with LONGWIRE_SEED=${SEED}: ${String(cause)}`, { cause });
        }
        if (n % INPUTS_PER_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      }
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      process.stdout.write(`fuzz: ${name}: ${count} inputs, seed ${SEED}, ${seconds} s\n`);
    },
    async calm() {
      const before = await measure();
      return {
        async isBack() {
          let now = await measure();
          // Connections that were closed are freed a moment later.
          for (let round = 0; round < 40 && !isNear(before, now); round++) {
            await Bun.sleep(250);
            now = await measure();
          }
          const words = `heap ${mega(before.heapBytes)} -> ${mega(now.heapBytes)} MB, resident ${mega(before.residentBytes)} -> ${mega(now.residentBytes)} MB, descriptors ${before.descriptors} -> ${now.descriptors}`;
          process.stdout.write(`fuzz: ${words}\n`);
          expect(isNear(before, now) ? "as before" : words).toBe("as before");
        },
      };
    },
  };
}

interface Measure {
  readonly heapBytes: number;
  readonly residentBytes: number;
  readonly descriptors: number;
}

async function measure(): Promise<Measure> {
  for (let round = 0; round < 3; round++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    Bun.gc(true);
  }
  return {
    heapBytes: heapStats().heapSize,
    residentBytes: process.memoryUsage().rss,
    descriptors: readdirSync("/proc/self/fd").length,
  };
}

function isNear(before: Measure, now: Measure): boolean {
  return (
    now.heapBytes - before.heapBytes < HEAP_SLACK_BYTES &&
    now.residentBytes - before.residentBytes < RESIDENT_SLACK_BYTES &&
    now.descriptors - before.descriptors <= DESCRIPTOR_SLACK
  );
}

function mega(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(0);
}

/** What no client may ever see: where in our code something went wrong. */
const INSIDES = /\bat [\w$.<> ]+ \(|\.[mc]?[jt]s:\d+|node_modules|packages\/(?:server|protocol)|\/src\/[a-z]+\//;

/** Throws where a text tells of the insides of the server. */
export function expectNoInsides(text: string): void {
  const found = INSIDES.exec(text);
  if (found !== null) throw new Error(`a look inside: ${text.slice(Math.max(0, found.index - 80), found.index + 200)}`);
}
