import { describe, expect, test } from "bun:test";
import type { ErrorFrame } from "@longwire/protocol";
import { buildCore, type CoreHouse, OPEN, type CoreSession, settle, UNLIMITED } from "../../test/support/core.ts";
import { FakeConnection } from "../../test/support/fake-connection.ts";
import { nativeProtocol } from "../protocols/native.ts";
import type { LimitSettings } from "./settings.ts";

function houseWith(limits: Partial<LimitSettings>): CoreHouse {
  return buildCore({ settings: { limits: { ...UNLIMITED, ...limits } } });
}

function errorsOf({ connection }: CoreSession): ErrorFrame[] {
  return connection.frames().filter((frame): frame is ErrorFrame => frame.type === "error");
}

function line(id: number, length: number): string {
  return JSON.stringify({ type: "ping", id }).padEnd(length);
}

async function ping(session: CoreSession, count: number): Promise<void> {
  for (let id = 1; id <= count; id++) await session.say({ type: "ping", id });
}

describe("commands and bytes of a session", () => {
  test("[LM-7] as many commands as allowed are answered, one more is refused with its id, the limit and when", async () => {
    const house = houseWith({ commandsPerSecond: 5, burstSeconds: 2 });
    const bob = await house.open();
    // `connect` was the first.
    await ping(bob, 9);
    expect(errorsOf(bob)).toEqual([]);
    await bob.say({ type: "ping", id: 10 });
    expect(errorsOf(bob)).toEqual([
      {
        type: "error",
        id: 10,
        code: 202,
        message: expect.stringContaining("commandsPerSecond is 5"),
        retry: 200,
      },
    ]);
    house.clock.advance(200);
    await bob.say({ type: "ping", id: 11 });
    expect(bob.connection.frames().at(-1)).toEqual({ type: "pong", id: 11 });
    await bob.say({ type: "ping", id: 12 });
    expect(errorsOf(bob)).toHaveLength(2);
  });

  test("[LM-7] somebody else's commands are not counted, and a session that rested may use its burst again, not more", async () => {
    const house = houseWith({ commandsPerSecond: 2, burstSeconds: 2 });
    const bob = await house.open();
    const ann = await house.open();
    await ping(bob, 4);
    await ping(ann, 3);
    expect(errorsOf(bob)).toHaveLength(1);
    expect(errorsOf(ann)).toHaveLength(0);
    house.clock.advance(20_000);
    await ping(bob, 4);
    expect(errorsOf(bob)).toHaveLength(1);
    await ping(bob, 1);
    expect(errorsOf(bob)).toHaveLength(2);
  });

  test("[LM-7] only who goes on and on is sent away, and may come back", async () => {
    const house = houseWith({ commandsPerSecond: 5, burstSeconds: 2 });
    const bob = await house.open();
    await ping(bob, 19);
    expect(errorsOf(bob)).toHaveLength(10);
    expect(bob.connection.goodbye).toBeUndefined();
    await bob.say({ type: "ping" });
    expect(bob.connection.goodbye).toMatchObject({ code: 4208, reconnect: true, afterMs: 10_000 });
    expect(bob.connection.goodbye?.message).toContain("commandsPerSecond");
  });

  test("[LM-7] who keeps to the pace after a refusal is never sent away", async () => {
    const house = houseWith({ commandsPerSecond: 10, burstSeconds: 1 });
    const bob = await house.open();
    for (let round = 0; round < 50; round++) {
      await ping(bob, 11);
      house.clock.advance(1000);
    }
    expect(bob.connection.goodbye).toBeUndefined();
    expect(errorsOf(bob).length).toBeGreaterThan(10);
  });

  test("[LM-7] commands that wait are counted as well, and a refused one is answered before them", async () => {
    const house = houseWith({ commandsPerSecond: 4, burstSeconds: 1 });
    const bob = await house.open();
    const { gateway } = house;
    gateway.receive(bob.handle, JSON.stringify({ type: "subscribe", channel: "a", id: 1 }));
    for (let id = 2; id <= 4; id++) gateway.receive(bob.handle, JSON.stringify({ type: "ping", id }));
    await settle();
    expect(
      bob.connection
        .frames()
        .slice(1)
        .map((frame) => "id" in frame && frame.id),
    ).toEqual([4, 1, 2, 3]);
    expect(errorsOf(bob)).toMatchObject([{ id: 4, code: 202 }]);
  });

  test("[LM-8] bytes: what fits is carried out, one more is refused, and the largest message always fits once", async () => {
    const house = houseWith({ bytesPerSecond: 100, burstSeconds: 1, messageBytesMax: 500 });
    const bob = await house.open({ connect: false });
    await bob.say(line(1, 400));
    await bob.say(line(2, 100));
    expect(errorsOf(bob)).toEqual([]);
    await bob.say(line(3, 50));
    expect(errorsOf(bob)).toMatchObject([{ id: 3, code: 202, retry: 500 }]);
    expect(errorsOf(bob)[0]?.message).toContain("bytesPerSecond is 100");
    house.clock.advance(500);
    await bob.say(line(4, 50));
    expect(errorsOf(bob)).toHaveLength(1);
    house.clock.advance(5000);
    await bob.say(line(5, 500));
    expect(errorsOf(bob)).toHaveLength(1);
  });

  test("a session that was silent for a ping's time holds no allowance", async () => {
    const house = houseWith({ commandsPerSecond: 5, burstSeconds: 2 });
    const bob = await house.open();
    expect(bob.handle).toMatchObject({ allowance: { commands: 9 } });
    house.clock.advance(27_000);
    expect(bob.handle).toMatchObject({ allowance: null });
  });
});

describe("publishes", () => {
  test("[LM-9] per session: as many as allowed, one more is refused; backends are not limited", async () => {
    const house = houseWith({ publishesPerSecond: 2, burstSeconds: 2 });
    const bob = await house.open();
    for (let id = 1; id <= 5; id++) await bob.say({ type: "publish", channel: "a", data: id, id });
    expect(errorsOf(bob)).toMatchObject([{ id: 5, code: 202, retry: 500 }]);
    expect(errorsOf(bob)[0]?.message).toContain("publishesPerSecond is 2");
    for (let count = 0; count < 20; count++) await house.publish("a", count);
    house.clock.advance(500);
    await bob.say({ type: "publish", channel: "a", data: 6, id: 6 });
    expect(errorsOf(bob)).toHaveLength(1);
    expect(await house.publish("a", "last")).toBe(26);
  });

  test("[LM-10] per user and per address, through all sessions; exempt addresses are not counted", async () => {
    const house = houseWith({ publishesPerSecondPerUser: 2 });
    const first = await house.open({ user: "bob" });
    const second = await house.open({ user: "bob" });
    const ann = await house.open({ user: "ann" });
    for (const session of [first, second, first, ann, ann])
      await session.say({ type: "publish", channel: "a", data: 1, id: 1 });
    expect([first, second, ann].map((one) => errorsOf(one).length)).toEqual([1, 0, 0]);
    expect(errorsOf(first)[0]?.message).toContain("publishesPerSecondPerUser is 2");

    for (const isExempt of [false, true]) {
      const other = houseWith({
        publishesPerSecondPerAddress: 1,
        isExempt: (address) => isExempt && address === "192.0.2.1",
      });
      const sessions = [await other.open({ user: "bob" }), await other.open()];
      for (const session of sessions) await session.say({ type: "publish", channel: "a", data: 1, id: 1 });
      const messages = sessions.flatMap((one) => errorsOf(one).map(({ message }) => message));
      expect(messages).toEqual(isExempt ? [] : [expect.stringContaining("publishesPerSecondPerAddress is 1")]);
    }
  });

  test("[LM-13] whoever speaks for a session by POST shares its allowance", async () => {
    const house = houseWith({ publishesPerSecond: 2, burstSeconds: 1 });
    const bob = await house.open();
    const { id } = bob.handle;
    const speak = async (session: string): Promise<FakeConnection> => {
      const connection = new FakeConnection({ hearing: "nothing" });
      const handle = house.gateway.open(connection, nativeProtocol(16), { channels: [], session, fleeting: true });
      house.gateway.receive(handle, JSON.stringify({ type: "publish", channel: "a", data: 1, id: 1 }));
      await settle();
      house.gateway.closed(handle, 1000, "");
      return connection;
    };
    const types = [await speak(id), await speak(id), await speak(id)].map((one) => one.frames().at(-1)?.type);
    expect(types).toEqual(["published", "published", "error"]);
    // Also one that is not connected at the moment.
    const absent = [await speak("gone"), await speak("gone"), await speak("gone")].map(
      (one) => one.frames().at(-1)?.type,
    );
    expect(absent).toEqual(["published", "published", "error"]);
    expect((await speak("other")).frames().at(-1)?.type).toBe("published");
  });

  test("[LM-16] where a namespace says so, what clients publish is escaped for HTML, what backends publish is not", async () => {
    const house = buildCore({ settings: { channels: { ...OPEN, escapeHtml: true } } });
    const bob = await house.open();
    await bob.say({ type: "subscribe", channel: "a" });
    await bob.say({ type: "publish", channel: "a", data: { "<k>": "<b>'&\"" } });
    await house.publish("a", "<b>");
    const data = bob.connection.frames().flatMap((frame) => (frame.type === "message" ? [frame.data] : []));
    expect(data).toEqual([{ "<k>": "&lt;b&gt;&#039;&amp;&quot;" }, "<b>"]);
  });
});

describe("connections", () => {
  test("[LM-10] per address: as many as allowed, one more is sent away, and its place is free when one leaves", async () => {
    const house = houseWith({ connectionsPerAddressMax: 2 });
    const first = await house.open();
    await house.open();
    const third = await house.open();
    expect(third.connection.goodbye).toMatchObject({ code: 4204, reconnect: true, afterMs: 30_000 });
    expect(third.connection.goodbye?.message).toContain(
      "at most 2 connections from one address (connectionsPerAddressMax)",
    );
    await third.drop();
    expect((await house.open()).connection.goodbye).toBeDefined();
    await first.drop();
    expect((await house.open()).connection.goodbye).toBeUndefined();
    const exempt = houseWith({ connectionsPerAddressMax: 1, isExempt: (address) => address === "192.0.2.1" });
    await exempt.open();
    expect((await exempt.open()).connection.goodbye).toBeUndefined();
  });

  test("[LM-10] per user: as many as allowed, one more is refused; one that comes back takes its own place", async () => {
    const house = houseWith({ connectionsPerUserMax: 2 });
    const first = await house.open({ user: "bob" });
    await house.open({ user: "bob" });
    const third = await house.open({ user: "bob" });
    expect(errorsOf(third)).toMatchObject([{ code: 201, retry: 30_000 }]);
    expect(errorsOf(third)[0]?.message).toContain("at most 2 connections of one user (connectionsPerUserMax)");
    expect((await house.open({ user: "ann" })).connection.frames()[0]).toMatchObject({ type: "connected" });
    expect((await house.open()).connection.frames()[0]).toMatchObject({ type: "connected" });
    const again = await house.open({ user: "bob", session: first.handle.id });
    expect(again.connection.frames()[0]).toMatchObject({ type: "connected", resumed: true });
  });
});
