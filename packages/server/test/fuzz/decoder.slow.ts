/**
 * The native protocol against damaged input: the golden vectors, mutated, and random bytes. The decoder may return a command or throw a
 * `CommandFault`; the gateway behind it may answer anything but a failure of its own.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { channelFault, CommandFault, decodeCommand, decodeCursor, encodeCursor } from "@longwire/protocol";
import type { Random } from "@longwire/protocol/test/random";
import { buildCore, type CoreSession, settle } from "../support/core.ts";
import { mutateText, randomBytes } from "./mutator.ts";
import { expectNoInsides, fuzzRun } from "./run.ts";

const DEPTH_MAX = 16;
/** As often as somebody new comes. */
const INPUTS_PER_CLIENT = 60;

const COMMANDS = textsOf("commands.json");
const TEXTS = [...COMMANDS, ...textsOf("faults.json")];
const CURSORS = (
  JSON.parse(readFileSync(vector("cursors.json"), "utf8")) as { readonly good: readonly { readonly cursor: string }[] }
).good.map(({ cursor }) => cursor);

function vector(file: string): URL {
  return new URL(`../../../protocol/vectors/${file}`, import.meta.url);
}

function textsOf(file: string): string[] {
  const { vectors } = JSON.parse(readFileSync(vector(file), "utf8")) as {
    readonly vectors: readonly { readonly text: string }[];
  };
  return vectors.map(({ text }) => text);
}

function anyText(random: Random): string {
  if (random.chance(10)) return Buffer.from(randomBytes(random, 120)).toString(random.chance(50) ? "utf8" : "latin1");
  return mutateText(random, random.pick(TEXTS), TEXTS);
}

test("[FR-1] [FR-2] [FR-3] damaged commands are commands or faults, never anything else", async () => {
  const run = fuzzRun({ short: 3000, full: 700_000 });
  const calm = await run.calm();
  let commands = 0;
  await run.each("decoder", (random) => {
    const text = anyText(random);
    try {
      const command = decodeCommand(text, DEPTH_MAX);
      commands++;
      if ("channel" in command && channelFault(command.channel) !== undefined) throw new Error("a bad channel name");
    } catch (error) {
      if (!(error instanceof CommandFault)) throw error;
      expectNoInsides(error.message);
    }
  });
  // If none were good, nothing behind the parser was looked at.
  expect(commands).toBeGreaterThan(run.count / 100);
  await calm.isBack();
});

test("[CU-2] [CU-4] damaged cursors are cursors that read the same again, or none", async () => {
  const run = fuzzRun({ short: 1000, full: 150_000 });
  await run.each("cursors", (random) => {
    const damaged = random.chance(50)
      ? mutateText(random, random.pick(CURSORS), CURSORS)
      : Buffer.from(
          mutateText(random, Buffer.from(random.pick(CURSORS), "base64url").toString(), ["a=e.1", ","]),
        ).toString("base64url");
    const positions = decodeCursor(damaged);
    if (positions === undefined) return;
    const again = decodeCursor(encodeCursor(positions) ?? "");
    if (again?.size !== positions.size) throw new Error(`${damaged} reads otherwise when written again`);
  });
});

test("[FR-16] [P4] what damaged commands do to the gateway is never a failure of its own, and a bystander gets everything", async () => {
  const run = fuzzRun({ short: 1500, full: 200_000 });
  const house = buildCore({ settings: { queueBytesMax: 256 * 1024, resumeMs: 0 } });
  const bystander = await house.open({ user: "bystander" });
  await bystander.say({ type: "subscribe", channel: "by:stander" });
  const calm = await run.calm();
  let attacker: CoreSession | undefined;
  let published = 0;
  await run.each("gateway", async (random, n) => {
    if (attacker === undefined || attacker.connection.goodbye !== undefined || n % INPUTS_PER_CLIENT === 0) {
      await attacker?.drop();
      look(attacker);
      attacker = await house.open({ connect: random.chance(70), ...(random.chance(50) && { user: "mallory" }) });
    }
    house.gateway.receive(attacker.handle, anyText(random));
    if (n % 50 === 0) await settle();
    if (n % 500 === 0) {
      published++;
      await house.publish("by:stander", published);
      // What it has read is not kept: this is about the server's memory.
      const offsets = bystander.connection.offsets("by:stander");
      if (offsets.at(-1) !== published) throw new Error(`the bystander has ${offsets.at(-1)} of ${published}`);
      bystander.connection.writes.length = 0;
    }
  });
  await attacker?.drop();
  look(attacker);
  await settle();
  expect(house.errors).toEqual([]);
  expect((await house.control.stats()).sessions).toBe(1);
  // Histories and the numbering of channels have their time.
  house.clock.advance(2 * 86_400_000);
  await settle();
  await calm.isBack();
  house.stop();
});

/** Everything that was answered. */
function look(session: CoreSession | undefined): void {
  for (const frame of session?.connection.frames() ?? []) {
    if (frame.type === "error" && frame.code === 200) throw new Error("answered `internal`");
    if (frame.type === "error") expectNoInsides(frame.message);
  }
}
