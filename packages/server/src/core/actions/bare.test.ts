/** Bare messages against the core: who gets them, and what becomes of those that are refused. */
import { describe, expect, test } from "bun:test";
import { brokerWith, buildCore, type CoreHouse, OPEN, SETTINGS, settle } from "../../../test/support/core.ts";
import { FakeConnection } from "../../../test/support/fake-connection.ts";
import type { Frame } from "../../ports/connection.ts";
import type { SessionHandle } from "../../ports/gateway.ts";
import { BareProtocol } from "../../protocols/bare.ts";
import { ReplyError } from "../../base/failures.ts";

interface Bare {
  readonly handle: SessionHandle;
  readonly connection: FakeConnection;
  say(message: Frame): Promise<void>;
  heard(): Frame[];
}

async function enter(house: CoreHouse, channel: string): Promise<Bare> {
  const connection = new FakeConnection({ topics: house.fanout });
  const handle = house.gateway.open(connection, new BareProtocol(channel, true), { channels: [channel] });
  await settle();
  return {
    handle,
    connection,
    async say(message) {
      house.gateway.receive(handle, message);
      await settle();
    },
    heard: () => connection.writes.flat(),
  };
}

describe("[RW-4] echo", () => {
  const quiet = { ...OPEN, bareEcho: false };
  const settings = { namespaces: new Map([["quiet", quiet]]) };

  test("goes to all where the namespace says so, and to all but the sender where it does not", async () => {
    const house = buildCore({ settings });
    for (const [channel, own] of [
      ["loud:a", ["1", "2", "3"]],
      ["quiet:a", ["2"]],
    ] as const) {
      const ann = await enter(house, channel);
      const bob = await enter(house, channel);
      await ann.say("1");
      await bob.say("2");
      await ann.say("3");
      expect([channel, ann.heard()]).toEqual([channel, [...own]]);
      expect(bob.heard()).toEqual(channel === "loud:a" ? ["1", "2", "3"] : ["1", "3"]);
    }
  });

  test("of two connections of one user the other one gets it", async () => {
    const house = buildCore({ settings });
    const connection = new FakeConnection({ topics: house.fanout });
    house.gateway.open(connection, new BareProtocol("quiet:a", true), { channels: ["quiet:a"], token: "ann" });
    const other = await enter(house, "quiet:a");
    await other.say("hi");
    expect(connection.writes.flat()).toEqual(["hi"]);
    expect(other.heard()).toEqual([]);
  });

  test("what a backend publishes reaches everybody", async () => {
    const house = buildCore({ settings });
    const ann = await enter(house, "quiet:a");
    await ann.say("mine");
    await house.publish("quiet:a", "theirs");
    expect(ann.heard()).toEqual(["theirs"]);
  });
});

/** What happens to the sender of the message, and what anybody hears of it. */
async function goodbyes(house: CoreHouse, message: Frame): Promise<{ code: number | undefined; heard: Frame[] }> {
  const ann = await enter(house, "a");
  const bob = await enter(house, "a");
  await ann.say(message);
  await ann.say("after the goodbye");
  expect(bob.connection.goodbye).toBeUndefined();
  expect(house.errors).toEqual([]);
  return { code: ann.connection.goodbye?.code, heard: [...ann.heard(), ...bob.heard()] };
}

describe("[RW-5] a message that is refused ends its connection, and nobody else's", () => {
  test("forbidden: for good", async () => {
    const house = buildCore({ settings: { channels: { ...OPEN, publish: "nobody" } } });
    expect(await goodbyes(house, "hi")).toEqual({ code: 4103, heard: [] });
  });

  test("too large: for good, text as its bytes and bytes as the base64 that they become", async () => {
    const limit = SETTINGS.publicationBytesMax;
    const bytes = Math.floor((limit - 2) / 4) * 3;
    for (const [fits, message, tooLarge] of [
      ["text", "x".repeat(limit - 2), "x".repeat(limit - 1)],
      ["bytes", new Uint8Array(bytes), new Uint8Array(bytes + 1)],
    ] as const) {
      const house = buildCore();
      const ann = await enter(house, "a");
      await ann.say(message);
      expect([fits, ann.heard().length, ann.connection.goodbye]).toEqual([fits, 1, undefined]);
      expect(await goodbyes(buildCore(), tooLarge)).toEqual({ code: 4103, heard: [] });
    }
  });

  test("rate limited, or not to be kept right now: it may pass", async () => {
    for (const error of ["rateLimited", "unavailable"] as const) {
      const house = buildCore({
        wrap: {
          sink: (hub) => hub,
          broker: (broker) => brokerWith(broker, { publish: () => Promise.reject(new ReplyError(error)) }),
        },
      });
      expect([error, await goodbyes(house, "hi")]).toEqual([error, { code: 4204, heard: [] }]);
    }
  });
});

test("[RW-5] a channel that may not be subscribed ends the connection: there is no word for it", async () => {
  const house = buildCore({ settings: { channels: { ...OPEN, subscribe: "nobody" } } });
  const ann = await enter(house, "a");
  expect(ann.connection.goodbye).toMatchObject({ code: 4103 });
  expect(ann.heard()).toEqual([]);
});
