import { expect, test } from "bun:test";
import type { ServerFrame } from "@longwire/protocol";
import { FakeClock, settle } from "../test/support/fake-clock.ts";
import { message } from "../test/support/fake-server.ts";
import { Rig } from "../test/support/rig.ts";
import type { Channel } from "./channel.ts";
import type { LongwireError } from "./failures.ts";

/** What a channel hands over, in order. */
function offsets(channel: Channel<string>): (number | undefined)[] {
  const found: (number | undefined)[] = [];
  channel.on("message", ({ offset }) => found.push(offset));
  return found;
}

test("subscribe goes out with its options, and again with the position after a cut", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel<string>("room:1", { since: "earliest", presence: { name: "Bo" }, events: true });
  const found = offsets(channel.subscribe());
  await settle();
  expect(channel.state.status).toBe("subscribed");
  for (const offset of [1, 2, 3]) rig.server.last.send(message("room:1", offset));
  await rig.cut();
  const asked = rig.server.connections.map((connection) => connection.sent("subscribe")[0]?.since);
  expect(asked).toEqual(["earliest", { epoch: "e", offset: 3 }]);
  expect(rig.server.last.sent("subscribe")[0]).toMatchObject({ presence: { name: "Bo" }, events: true });
  rig.server.last.send(message("room:1", 4));
  expect(found).toEqual([1, 2, 3, 4]);
  expect(channel.position).toEqual({ epoch: "e", offset: 4 });
});

test("the same name gives the same object", () => {
  const { client } = new Rig();
  expect(client.channel("a")).toBe(client.channel("a"));
  expect(client.inbox()).toBe(client.inbox());
});

test("an offset is handed over once; a message without offset always", async () => {
  const rig = await new Rig().connect();
  const found = offsets(rig.client.channel<string>("a").subscribe());
  await settle();
  for (const offset of [1, 2, 2, 1, 4, 3]) rig.server.last.send(message("a", offset));
  rig.server.last.send({ type: "message", channel: "a", data: "x" });
  rig.server.last.send({ type: "message", channel: "a", data: "x" });
  expect(found).toEqual([1, 2, 4, undefined, undefined]);
});

test("recovered: false is told with the new position, and the stream goes on from there", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel<string>("a").subscribe();
  const found = offsets(channel);
  await settle();
  rig.server.last.send(message("a", 9));
  const states: unknown[] = [];
  channel.on("subscribed", (event) => states.push(event));
  rig.server.answers.subscribe = ({ id, channel }) => ({
    type: "subscribed",
    id,
    channel,
    epoch: "f",
    offset: 2,
    recovered: false,
  });
  await rig.cut();
  expect(states).toEqual([{ position: { epoch: "f", offset: 2 }, recovered: false }]);
  expect(channel.state).toMatchObject({ recovered: false });
  rig.server.last.send(message("a", 3));
  expect(found).toEqual([9, 3]);
});

test("a new epoch in a standing session is told the same way", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel<string>("a").subscribe();
  const found = offsets(channel);
  await settle();
  rig.server.last.send(message("a", 9));
  rig.server.last.send({ type: "subscribed", channel: "a", epoch: "f", offset: 0, recovered: false });
  rig.server.last.send(message("a", 1));
  expect(found).toEqual([9, 1]);
  expect(channel.position).toEqual({ epoch: "f", offset: 1 });
  await rig.cut();
  expect(rig.server.last.sent("connect")[0]?.since).toBeUndefined();
  expect(rig.server.last.sent("subscribe")[0]?.since).toEqual({ epoch: "f", offset: 1 });
});

test("a recovered `subscribed` behind the own position does not turn it back", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel<string>("a").subscribe();
  const found = offsets(channel);
  await settle();
  rig.server.last.send(message("a", 5));
  rig.server.last.send({ type: "subscribed", channel: "a", epoch: "e", offset: 3, recovered: true });
  rig.server.last.send(message("a", 4));
  rig.server.last.send(message("a", 6));
  expect(found).toEqual([5, 6]);
});

test("unsubscribe ends it and forgets the position; what still arrives of it is not handed over", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel<string>("a", { since: "latest" }).subscribe();
  const found = offsets(channel);
  await settle();
  rig.server.last.send(message("a", 1));
  channel.unsubscribe();
  expect(channel.state).toEqual({ status: "unsubscribed" });
  channel.subscribe();
  rig.server.last.send(message("a", 2));
  await settle();
  expect(found).toEqual([1]);
  expect(rig.server.last.sent("subscribe").map(({ since }) => since)).toEqual(["latest", "latest"]);
  expect(channel.state.status).toBe("subscribed");
});

test("the answer to an older subscribe does not count for a newer one", async () => {
  const rig = await new Rig().connect();
  const answer = rig.server.answers.subscribe;
  rig.server.answers.subscribe = () => undefined;
  const channel = rig.client.channel<string>("a").subscribe();
  channel.unsubscribe();
  channel.subscribe();
  const [first, second] = rig.server.last.sent("subscribe");
  rig.server.last.send({ type: "error", id: first?.id ?? 0, code: 109, message: "no" });
  expect(channel.state.status).toBe("subscribing");
  if (second !== undefined) rig.server.last.send(answer?.(second, rig.server.last) ?? "");
  expect(channel.state.status).toBe("subscribed");
});

test("subscribe(since) starts there, whatever the position was", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel<string>("a").subscribe();
  await settle();
  rig.server.last.send(message("a", 5));
  channel.subscribe({ epoch: "e", offset: 2 });
  await settle();
  expect(rig.server.last.sent("unsubscribe").length).toBe(1);
  expect(rig.server.last.sent("subscribe").at(-1)?.since).toEqual({ epoch: "e", offset: 2 });
});

test("a refusal by its range: 1xx stays away, 2xx tries again not before `retry`, 3xx with a new token", async () => {
  const rig = await new Rig().connect();
  const codes = [201, 201, 301, 109];
  rig.server.answers.subscribe = ({ id }) => ({
    type: "error",
    id,
    code: codes.shift() ?? 0,
    message: "no",
    retry: 5000,
  });
  let tokens = 0;
  const channel = rig.client.channel("a", { getToken: () => Promise.resolve(`t${++tokens}`) }).subscribe();
  const refusal = channel.ready().catch((error: LongwireError) => error.code);
  await rig.clock.advance(4999);
  expect(rig.server.last.sent("subscribe").length).toBe(1);
  await rig.clock.advance(15_001);
  expect(rig.server.last.sent("subscribe").map(({ token }) => token)).toEqual(["t1", "t1", "t1", "t2"]);
  expect(channel.state).toEqual({ status: "unsubscribed", code: 109, reason: "no" });
  expect(await refusal).toBe(109);
  await rig.cut();
  expect(rig.server.last.sent("subscribe")).toEqual([]);
});

test("a refusal for the session's token renews that one", async () => {
  const rig = await new Rig({ token: "old", getToken: () => Promise.resolve("new") }).connect();
  const answer = rig.server.answers.subscribe;
  rig.server.answers.subscribe = ({ id }) => ({ type: "error", id, code: 301, message: "expired" });
  const channel = rig.client.channel("a").subscribe();
  await settle();
  expect(rig.server.last.sent("refresh")[0]?.token).toBe("new");
  rig.server.answers.subscribe = answer as never;
  await rig.clock.advance(1000);
  expect(channel.state.status).toBe("subscribed");
});

test("the server's `unsubscribed`: 1xx stays away, 2xx comes back from the position", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel<string>("a").subscribe();
  await settle();
  rig.server.last.send(message("a", 3));
  rig.server.last.send({ type: "unsubscribed", channel: "a", code: 201, reason: "for now" });
  expect(channel.state).toEqual({ status: "subscribing" });
  await rig.clock.advance(1000);
  expect(rig.server.last.sent("subscribe").at(-1)?.since).toEqual({ epoch: "e", offset: 3 });
  rig.server.last.send({ type: "unsubscribed", channel: "a", code: 118, reason: "ended" });
  expect(channel.state).toEqual({ status: "unsubscribed", code: 118, reason: "ended" });
});

test("a subscribe that is not answered is asked again", async () => {
  const rig = await new Rig().connect();
  const answer = rig.server.answers.subscribe;
  rig.server.answers.subscribe = () => undefined;
  const channel = rig.client.channel("a").subscribe();
  await rig.clock.advance(10_000);
  rig.server.answers.subscribe = answer as never;
  await rig.clock.advance(1000);
  expect(channel.state.status).toBe("subscribed");
});

test("join and leave go to their handlers", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel("a", { events: true }).subscribe();
  const seen: string[] = [];
  channel.on("join", ({ session }) => seen.push(`+${session}`));
  channel.on("leave", ({ session }) => seen.push(`-${session}`));
  await settle();
  rig.server.last.send({ type: "join", channel: "a", member: { session: "x" } });
  rig.server.last.send({ type: "leave", channel: "a", member: { session: "x" } });
  channel.unsubscribe();
  rig.server.last.send({ type: "join", channel: "a", member: { session: "x" } });
  expect(seen).toEqual(["+x", "-x"]);
});

test("a handler that throws is reported; the others and the next messages go on", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel<string>("a").subscribe();
  channel.on("message", () => {
    throw new Error("sync");
  });
  channel.on("message", () => Promise.reject(new Error("async")));
  const found = offsets(channel);
  await settle();
  rig.server.last.send(message("a", 1));
  rig.server.last.send(message("a", 2));
  await settle();
  expect(found).toEqual([1, 2]);
  const reported = rig.errors.map((error) => (error as Error).message);
  expect(reported.filter((text) => text === "sync").length).toBe(2);
  expect(reported.filter((text) => text === "async").length).toBe(2);
  expect(rig.client.state.status).toBe("connected");
});

test("the error event hears of it too", async () => {
  const rig = await new Rig().connect();
  const heard: unknown[] = [];
  rig.client.on("error", (error) => heard.push(error));
  rig.client
    .channel("a")
    .subscribe()
    .on("message", () => {
      throw new Error("mine");
    });
  await settle();
  rig.server.last.send(message("a", 1));
  expect(heard).toEqual([new Error("mine")]);
});

test("the inbox is there before the user is known, needs no subscribe, and acknowledges together", async () => {
  const rig = new Rig();
  rig.server.connected = { user: "bob" };
  const inbox = rig.client.inbox<string>();
  expect(inbox.name).toBe("@");
  const found = offsets(inbox);
  await rig.connect();
  expect(inbox.name).toBe("@bob");
  expect(rig.server.last.sent("subscribe")).toEqual([]);
  rig.server.last.send({ type: "subscribed", channel: "@bob", epoch: "e", offset: 4, recovered: true });
  for (const offset of [5, 6, 7]) rig.server.last.send(message("@bob", offset));
  expect(found).toEqual([5, 6, 7]);
  await rig.clock.advance(199);
  expect(rig.server.last.sent("ack")).toEqual([]);
  await rig.clock.advance(1);
  expect(rig.server.last.sent("ack")).toEqual([{ type: "ack", channel: "@bob", offset: 7, epoch: "e" }] as never);
  for (let offset = 8; offset < 58; offset++) rig.server.last.send(message("@bob", offset));
  expect(rig.server.last.sent("ack").at(-1)?.offset).toBe(57);
  rig.server.last.send(message("@bob", 58));
  rig.surroundings.tell("hide");
  expect(rig.server.last.sent("ack").at(-1)?.offset).toBe(58);
});

test('inbox() and channel("@bob") are one stream, in whatever order they are made', async () => {
  const rig = new Rig();
  rig.server.connected = { user: "bob" };
  const before = offsets(rig.client.inbox<string>());
  const named = offsets(rig.client.channel<string>("@bob"));
  await rig.connect();
  const after = offsets(rig.client.inbox<string>());
  rig.server.last.send({ type: "subscribed", channel: "@bob", epoch: "e", offset: 0, recovered: true });
  rig.server.last.send(message("@bob", 1));
  expect([before, named, after]).toEqual([[1], [1], [1]]);
});

test("the positions of what the server subscribes by itself go with `connect`", async () => {
  const rig = await new Rig().connect();
  offsets(rig.client.channel<string>("news"));
  rig.server.last.send({ type: "subscribed", channel: "news", epoch: "e", offset: 0, recovered: true });
  rig.server.last.send(message("news", 3));
  await rig.cut();
  expect(rig.server.last.sent("connect")[0]?.since).toEqual({ news: { epoch: "e", offset: 3 } });
});

test("an inbox that the server could not make for now is asked for", async () => {
  const rig = new Rig();
  rig.server.connected = { user: "bob" };
  const found = offsets(rig.client.inbox<string>());
  await rig.connect();
  rig.server.last.send({ type: "unsubscribed", channel: "@bob", code: 201, reason: "for now" });
  await rig.clock.advance(1000);
  expect(rig.server.last.sent("subscribe")[0]?.channel).toBe("@bob");
  rig.server.last.send(message("@bob", 1));
  expect(found).toEqual([1]);
});

test("messages of a server-made subscription wait until somebody listens, unacknowledged", async () => {
  const rig = new Rig();
  rig.server.connected = { user: "bob" };
  await rig.connect();
  rig.server.last.send({ type: "subscribed", channel: "@bob", epoch: "e", offset: 0, recovered: true });
  rig.server.last.send(message("@bob", 1));
  rig.server.last.send(message("@bob", 2));
  await rig.clock.advance(1000);
  expect(rig.server.last.sent("ack")).toEqual([]);
  const found = offsets(rig.client.inbox<string>());
  rig.server.last.send(message("@bob", 3));
  await rig.clock.advance(1000);
  expect(found).toEqual([1, 2, 3]);
  expect(rig.server.last.sent("ack").at(-1)?.offset).toBe(3);
});

test("more than can be held comes again over a new connection", async () => {
  const rig = new Rig();
  rig.server.connected = { user: "bob" };
  await rig.connect();
  rig.server.last.send({ type: "subscribed", channel: "@bob", epoch: "e", offset: 0, recovered: true });
  for (let offset = 1; offset <= 300; offset++) rig.server.last.send(message("@bob", offset));
  const found = offsets(rig.client.inbox<string>());
  await settle();
  expect(found.length).toBe(256);
  expect(rig.server.connections.length).toBe(2);
  expect(rig.server.last.sent("connect")[0]?.since).toEqual({ "@bob": { epoch: "e", offset: 256 } });
});

test("a channel asked for `since: inbox` acknowledges too, others do not", async () => {
  const rig = await new Rig().connect();
  offsets(rig.client.channel<string>("jobs:1", { since: "inbox" }).subscribe());
  offsets(rig.client.channel<string>("other").subscribe());
  await settle();
  rig.server.last.send(message("jobs:1", 1));
  rig.server.last.send(message("other", 1));
  await rig.clock.advance(200);
  expect(rig.server.last.sent("ack")).toEqual([{ type: "ack", channel: "jobs:1", offset: 1, epoch: "e" }] as never);
});

test("an acknowledgement that a cut held up goes out after it, unless the numbering changed", async () => {
  const rig = await new Rig().connect();
  offsets(rig.client.channel<string>("jobs:1", { since: "inbox" }).subscribe());
  await settle();
  rig.server.last.send(message("jobs:1", 5));
  await rig.cut();
  expect(rig.server.last.sent("ack")[0]?.offset).toBe(5);
  rig.server.last.send(message("jobs:1", 6));
  rig.server.last.send({ type: "subscribed", channel: "jobs:1", epoch: "f", offset: 0, recovered: false });
  await rig.clock.advance(200);
  expect(rig.server.last.sent("ack").length).toBe(1);
});

test("subscribing what the server subscribes by itself is no error, whichever comes first", async () => {
  for (const errorFirst of [true, false]) {
    const rig = await new Rig().connect();
    rig.server.answers.subscribe = () => undefined;
    const channel = rig.client.channel("news").subscribe();
    const statuses: string[] = [];
    channel.on("state", ({ status }) => statuses.push(status));
    const id = rig.server.last.sent("subscribe")[0]?.id ?? 0;
    const frames: ServerFrame[] = [
      { type: "error", id, code: 107, message: "already" },
      { type: "subscribed", channel: "news", epoch: "e", offset: 7, recovered: true },
    ];
    for (const frame of errorFirst ? frames : frames.toReversed()) rig.server.last.send(frame);
    expect(channel.state).toEqual({ status: "subscribed", recovered: true, position: { epoch: "e", offset: 7 } });
    expect(statuses).toEqual(["subscribed"]);
  }
});

test("handlers may leave in the middle: nothing more is handed over", async () => {
  const rig = await new Rig({}, undefined, new FakeClock()).connect();
  const channel = rig.client.channel<string>("a").subscribe();
  const found = offsets(channel);
  channel.on("message", () => channel.unsubscribe());
  await settle();
  rig.server.last.send(message("a", 1));
  rig.server.last.send(message("a", 2));
  expect(found).toEqual([1]);
});
