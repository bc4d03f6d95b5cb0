import { expect, test } from "bun:test";
import type { HistoryEntry } from "@longwire/protocol";
import { settle } from "../../client/test/support/fake-clock.ts";
import { message } from "../../client/test/support/fake-server.ts";
import { Rig } from "../../client/test/support/rig.ts";
import { newId, readMessage, Room } from "./room.ts";
import { Words } from "./words.ts";

/** A room on a scripted server, and what it told, one line per event. */
async function enter(
  texts: readonly string[],
  goesOn: boolean = false,
): Promise<{ rig: Rig; room: Room; told: string[]; texts: string[] }> {
  const rig = new Rig();
  const history = [...texts];
  rig.server.answers.history = ({ id, channel }) => ({
    type: "history",
    id,
    channel,
    epoch: "e",
    offset: history.length,
    publications: history.map((data, index): HistoryEntry => ({ offset: index + 1, data, time: 1 })).toReversed(),
    more: false,
  });
  rig.server.answers.presence = ({ id, channel }) => ({
    type: "presence",
    id,
    channel,
    members: [
      { session: "other", data: { name: "Bo" } },
      { session: "s1", data: { name: "Ada" } },
    ],
    users: 2,
    sessions: 2,
  });
  const told: string[] = [];
  const room = new Room(
    rig.client,
    "demo:lobby",
    { id: "me", name: "Ada" },
    {
      began: (messages) => told.push(`began ${messages.map(({ text }) => text).join(" ")}`),
      arrived: ({ text }) => told.push(`arrived ${text}`),
      sending: ({ text }, state) => told.push(`${state} ${text}`),
      joined: (name) => told.push(`joined ${name}`),
      left: (name) => told.push(`left ${name}`),
      members: (names) => told.push(`members ${names.map(({ name, isSelf }) => name + (isSelf ? "*" : "")).join(" ")}`),
      missed: () => told.push("missed"),
      noHistory: () => told.push("noHistory"),
      refused: (reason) => told.push(`refused ${reason}`),
    },
    goesOn,
  );
  await rig.connect();
  return { rig, room, told, texts: history };
}

test("the last messages come first, then what follows them, then who is here, oneself first", async () => {
  const { rig, told } = await enter(["one", "two"]);
  rig.server.last.send(message("demo:lobby", 3, "three"));
  expect(told).toEqual(["began one two", "members Ada* Bo", "arrived three"]);
  expect(rig.server.last.sent("subscribe")[0]).toMatchObject({
    since: { epoch: "e", offset: 2 },
    presence: { name: "Ada" },
    events: true,
  });
});

test("a room that goes on where another one was asks for nothing that was shown", async () => {
  const { rig, room, told } = await enter(["one"], true);
  await settle();
  expect(rig.server.last.sent("history")).toEqual([]);
  expect(told).toEqual(["members Ada* Bo"]);
  expect(room.isLoaded).toBe(true);
  // And leaves it to the next one without a word to the server.
  room.release();
  rig.server.last.send(message("demo:lobby", 1, "later"));
  expect(told).toEqual(["members Ada* Bo"]);
  expect(rig.server.last.sent("unsubscribe")).toEqual([]);
});

test("joins and leaves of others are told, the own ones are not", async () => {
  const { rig, told } = await enter([]);
  told.length = 0;
  const send = (type: "join" | "leave", session: string, name: string): void =>
    rig.server.last.send({ type, channel: "demo:lobby", member: { session, data: { name } } });
  send("join", "s1", "Ada");
  send("join", "third", "Cy");
  send("leave", "other", "Bo");
  expect(told.filter((line) => !line.startsWith("members"))).toEqual(["joined Cy", "left Bo"]);
  expect(told.at(-2)).toBe("members Ada* Cy");
});

test("who comes and goes while the list is on its way is not forgotten by it", async () => {
  const { rig, told } = await enter([]);
  const list = rig.server.answers.presence;
  rig.server.answers.presence = (...asked) => {
    for (const [type, session, name] of [
      ["join", "third", "Cy"],
      ["leave", "other", "Bo"],
    ] as const)
      rig.server.last.send({ type, channel: "demo:lobby", member: { session, data: { name } } });
    return list?.(...asked);
  };
  rig.server.last.send({ type: "subscribed", channel: "demo:lobby", epoch: "e", offset: 0, recovered: true });
  await settle();
  expect(told.at(-1)).toBe("members Ada* Cy");
});

test("an own message is pending, then sent or failed, and goes again under the same key", async () => {
  const { rig, room, told } = await enter([]);
  rig.server.answers.publish = ({ id }) => ({ type: "error", id, code: 201, message: "not now" });
  room.send("hi");
  await settle();
  expect(told.slice(-2)).toEqual(["pending hi", "failed hi"]);
  const first = rig.server.last.sent("publish")[0];
  rig.server.answers.publish = ({ id, channel }) => ({ type: "published", id, channel, epoch: "e", offset: 1 });
  await room.publish(readMessage(first?.data ?? null, 0));
  expect(told.slice(-2)).toEqual(["pending hi", "sent hi"]);
  expect(rig.server.last.sent("publish")[1]?.key).toBe(first?.key as string);
});

test("what was not recovered is shown from the history, and what came meanwhile after it, once", async () => {
  const { rig, told, texts } = await enter(["one"]);
  told.length = 0;
  texts.push("two", "three");
  rig.server.last.send({ type: "subscribed", channel: "demo:lobby", epoch: "f", offset: 2, recovered: false });
  rig.server.last.send(message("demo:lobby", 3, "three"));
  rig.server.last.send(message("demo:lobby", 4, "four"));
  await settle();
  expect(told.filter((line) => !line.startsWith("members"))).toEqual(["began one two three", "missed", "arrived four"]);
});

test("a room without a right to its history is entered all the same", async () => {
  const rig = new Rig();
  rig.server.answers.history = ({ id }) => ({ type: "error", id, code: 109, message: "not allowed" });
  const told: string[] = [];
  const tell = (word: string) => () => told.push(word);
  const room = new Room(
    rig.client,
    "demo:x",
    { id: "me", name: "Ada" },
    {
      began: tell("began"),
      arrived: tell("arrived"),
      sending: tell("sending"),
      joined: tell("joined"),
      left: tell("left"),
      members: tell("members"),
      missed: tell("missed"),
      noHistory: tell("noHistory"),
      refused: (reason) => told.push(reason),
    },
  );
  await rig.connect();
  await settle();
  expect(told).toEqual(["began", "noHistory"]);
  expect(rig.server.last.sent("subscribe")[0]?.since).toBe("latest");
  rig.server.last.send({ type: "unsubscribed", channel: "demo:x", code: 118, reason: "closed" });
  expect(told.at(-1)).toBe("closed");
  room.close();
});

test("any data becomes a message", () => {
  expect(readMessage("bare", 5)).toEqual({ id: "", from: "", name: "", text: "bare", time: 5 });
  expect(readMessage({ name: " curl ", text: "hi" }, 5)).toMatchObject({ name: "curl", text: "hi", time: 5 });
  expect(readMessage({ name: 1, text: null, time: 1e300 }, 5)).toMatchObject({ name: "", time: 5 });
  expect(readMessage(null, 5).text).toBe("null");
  expect(readMessage([1], 5).text).toBe("[1]");
});

test("both languages fill in what they are given", () => {
  expect(new Words("en").say("joined", { name: "<b>" })).toBe("<b> joined");
  expect(new Words("zh").say("retryIn", { seconds: 3 })).toBe("连接已断开，3 秒后重试。");
});

test("ids are made where the page is not a secure context: http to another machine's address", () => {
  // Such pages have no `crypto.randomUUID` at all.
  Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
  try {
    expect(newId()).toMatch(/^[0-9a-f]{32}$/);
    expect(newId()).not.toBe(newId());
  } finally {
    Reflect.deleteProperty(crypto, "randomUUID");
  }
});
