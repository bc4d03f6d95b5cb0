import { expect, test } from "bun:test";
import { buildCore, OPEN } from "../../test/support/core.ts";
import { matches } from "./rights.ts";
import type { Who } from "./settings.ts";

const claims = (user: string | undefined, allow?: unknown, channels: string[] = []): string =>
  JSON.stringify({ ...(user !== undefined && { user }), ...(allow !== undefined && { allow }), channels });

/** What a session gets for a subscribe: 0 when it is let in. */
async function codeOf(rule: Who, token: string | undefined, channel: string, extra = {}): Promise<number> {
  const house = buildCore({ settings: { channels: { ...OPEN, subscribe: rule } } });
  const bob = await house.open(token === undefined ? {} : { user: token });
  await bob.say({ type: "subscribe", id: 77, channel, ...extra });
  const reply = bob.connection.frames().find((frame) => "id" in frame && frame.id === 77);
  return reply?.type === "error" ? reply.code : 0;
}

test("[NS-2] [NS-3] [NS-4] [SU-9] each rule lets in whom it names", async () => {
  const anonymous = undefined;
  const bob = claims("bob");
  const table: [Who, string | undefined, number][] = [
    ["everybody", anonymous, 0],
    ["signed-in", anonymous, 302],
    ["signed-in", bob, 0],
    ["token", anonymous, 302],
    ["token", bob, 109],
    ["token", claims("bob", { subscribe: ["room:*"] }), 0],
    ["owner", bob, 109],
    ["nobody", bob, 109],
  ];
  for (const [rule, token, code] of table)
    expect([rule, token, await codeOf(rule, token, "room:1")]).toEqual([rule, token, code]);
});

test("[NS-6] with `allow` nothing else is permitted, and it grants where the namespace asks for more", async () => {
  const rooms = claims("bob", { subscribe: ["room:*"] });
  expect(await codeOf("everybody", rooms, "room:1")).toBe(0);
  expect(await codeOf("everybody", rooms, "news")).toBe(109);
  expect(await codeOf("signed-in", claims(undefined, { subscribe: ["room:*"] }), "room:1")).toBe(0);
  expect(await codeOf("everybody", claims("bob", { publish: ["*"] }), "news")).toBe(109);
});

test("[NS-7] [NS-9] no pattern and no token opens what is nobody's or somebody else's", async () => {
  const all = claims("bob", { subscribe: ["*"] });
  expect(await codeOf("nobody", all, "news")).toBe(109);
  expect(await codeOf("everybody", all, "@eve")).toBe(109);
  expect(await codeOf("everybody", claims("bob"), "@eve", { token: "good" })).toBe(109);
  expect(await codeOf("nobody", claims("bob"), "news", { token: "good" })).toBe(109);
});

test("[SU-8] a token for one channel opens it, a bad one does not", async () => {
  expect(await codeOf("token", claims("bob"), "room:1", { token: "good" })).toBe(0);
  expect(await codeOf("token", claims("bob"), "room:1", { token: "bad" })).toBe(300);
});

test("[NS-2] a channel that the token has the server subscribe may be left and entered again", async () => {
  const house = buildCore({ settings: { channels: { ...OPEN, subscribe: "token" } } });
  const bob = await house.open({ user: claims("bob", undefined, ["news"]) });
  await bob.say({ type: "unsubscribe", channel: "news" });
  await bob.say({ type: "subscribe", id: 1, channel: "news" });
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "subscribed", id: 1 });
});

test("[NS-8] `*` stands for any run of characters, everything else for itself", () => {
  const yes = [
    ["*", "anything"],
    ["room:*", "room:"],
    ["room:*", "room:a:b"],
    ["a*b*c", "abc"],
    ["a*b*c", "aXbYbZc"],
    ["*.*", "a.b"],
    ["a.c", "a.c"],
    ["**", "x"],
  ] as const;
  const no = [
    ["room:*", "rooms:1"],
    ["a*b", "ab!"],
    ["ab*ba", "aba"],
    ["a.c", "abc"],
    ["", "x"],
    ["a*b*b", "ab"],
  ] as const;
  for (const [pattern, channel] of yes)
    expect([pattern, channel, matches(pattern, channel)]).toEqual([pattern, channel, true]);
  for (const [pattern, channel] of no)
    expect([pattern, channel, matches(pattern, channel)]).toEqual([pattern, channel, false]);
});
