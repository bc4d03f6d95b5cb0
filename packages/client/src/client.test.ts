import { expect, test } from "bun:test";
import { settle } from "../test/support/fake-clock.ts";
import { Rig } from "../test/support/rig.ts";
import { connect } from "./client.ts";
import type { Message } from "./decode.ts";
import { LongwireError } from "./failures.ts";
import { resolveUrl } from "./platform.ts";

/** The reason a promise fails with, or what it resolves to. */
function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => value,
    (error: unknown) => (error instanceof LongwireError ? error.reason : error),
  );
}

test("publish resolves to the position, and to nothing where it is not numbered", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel<string>("a");
  expect(await channel.publish("x", { name: "n" })).toEqual({ epoch: "e", offset: 1 });
  expect(rig.server.last.sent("publish")[0]).toMatchObject({ channel: "a", data: "x", name: "n" });
  rig.server.answers.publish = ({ id, channel }) => ({ type: "published", id, channel }) as never;
  expect(await channel.publish("x")).toBeUndefined();
});

test("data that stands for bytes says so on its way out and in", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel<string>("a");
  const messages: Message<string>[] = [];
  channel.on("message", (message) => messages.push(message));
  channel.subscribe();
  await channel.publish("AQI=", { encoding: "base64" });
  expect(rig.server.last.sent("publish")[0]).toMatchObject({ data: "AQI=", encoding: "base64" });
  rig.server.last.send({ type: "message", channel: "a", offset: 9, data: "AQI=", encoding: "base64" });
  expect(messages).toEqual([{ channel: "a", offset: 9, data: "AQI=", encoding: "base64" }]);
});

test("a publish cut off before its answer goes out again with the same key, in its old order", async () => {
  const rig = await new Rig().connect();
  const answer = rig.server.answers.publish;
  rig.server.answers.publish = () => undefined;
  const channel = rig.client.channel<string>("a");
  const first = channel.publish("1");
  const second = channel.publish("2");
  await settle();
  const before = rig.server.last.sent("publish");
  rig.server.last.close(1006, "");
  const third = channel.publish("3", { key: "mine" });
  rig.server.answers.publish = answer as never;
  await rig.clock.advance(1000);
  const after = rig.server.last.sent("publish");
  expect(after.map(({ data }) => data)).toEqual(["1", "2", "3"]);
  expect(after.slice(0, 2)).toEqual(before);
  expect(new Set(after.map(({ key }) => key)).size).toBe(3);
  expect(after[2]?.key).toBe("mine");
  await Promise.all([first, second, third]);
});

test("a message that is too large is not sent again over every next connection", async () => {
  const rig = await new Rig().connect();
  rig.server.answers.publish = () => undefined;
  const sent = rig.client.channel<string>("a").publish("x".repeat(1000));
  rig.server.last.close(1009, "");
  const error = await sent.catch((error: unknown) => error);
  expect(error).toMatchObject({ reason: "refused", code: 104, remedy: "final" });
  await rig.clock.advance(1000);
  expect(rig.server.last.sent("publish")).toEqual([]);
});

test("of what a connection died of for its size only the largest fails; the rest goes out again with its key", async () => {
  for (const end of [1009, 4207]) {
    const rig = await new Rig().connect();
    const answer = rig.server.answers.publish;
    rig.server.answers.publish = () => undefined;
    const channel = rig.client.channel<string>("a").subscribe();
    await settle();
    // In bytes the second is the largest, though not in characters.
    const large = ["x".repeat(1000), "\u3042".repeat(500)].map((data) => outcome(channel.publish(data)));
    const small = channel.publish("small");
    const called = outcome(rig.client.call("m"));
    const [first, , third] = rig.server.last.sent("publish");
    if (end === 4207) rig.server.last.send({ type: "disconnect", code: end, reason: "", reconnect: true });
    else rig.server.last.close(end, "");
    expect(await large[1]).toBe("refused");
    expect(await called).toBe("lost");
    rig.server.answers.publish = answer as never;
    await rig.clock.advance(1000);
    expect(rig.server.last.sent("publish")).toEqual([first, third] as never);
    expect(await large[0]).toEqual({ epoch: "e", offset: 1 });
    expect(await small).toEqual({ epoch: "e", offset: 1 });
    expect(channel.state.status).toBe("subscribed");
  }
});

test("every end for size takes at least one request away, so that none goes on for ever", async () => {
  const rig = await new Rig().connect();
  rig.server.answers.publish = (_, connection) => {
    queueMicrotask(() => connection.close(1009, ""));
    return undefined;
  };
  const data = ["x".repeat(900), "x".repeat(900), "x".repeat(600), "x".repeat(300)];
  const failing = data.map((text) => outcome(rig.client.channel<string>("a").publish(text)));
  await rig.clock.advance(30_000);
  expect(await Promise.all(failing)).toEqual(data.map(() => "refused"));
  expect(rig.server.connections.length).toBe(4);
  expect(rig.client.state.status).toBe("connected");
});

test("a subscribe that is too large is refused, not asked again over every next connection", async () => {
  const rig = await new Rig().connect();
  rig.server.answers.subscribe = (_, connection) => {
    queueMicrotask(() => connection.close(1009, ""));
    return undefined;
  };
  const channel = rig.client.channel("a", { presence: "x".repeat(1000) }).subscribe();
  await rig.clock.advance(30_000);
  expect(channel.state).toMatchObject({ status: "unsubscribed", code: 104 });
  expect(rig.server.connections.length).toBe(2);
});

test("channels are subscribed again before what waited goes out", async () => {
  const rig = new Rig();
  const channel = rig.client.channel<string>("a").subscribe();
  const published = channel.publish("x");
  await rig.connect();
  await published;
  expect(rig.server.last.received.map(({ type }) => type)).toEqual(["connect", "subscribe", "publish"]);
});

test("what waits is bounded in count and in bytes, and says so", async () => {
  const rig = new Rig({ queueCountMax: 2 });
  const channel = rig.client.channel<string>("a");
  const waiting = [channel.publish("1"), channel.publish("2")].map(outcome);
  expect(await outcome(channel.publish("3"))).toBe("queueFull");
  rig.client.connect().disconnect();
  expect(await Promise.all(waiting)).toEqual(["disconnected", "disconnected"]);

  const small = new Rig({ queueBytesMax: 1000 });
  expect(await outcome(small.client.channel<string>("a").publish("x".repeat(500)))).toBe("queueFull");
});

test("what the SDK asks by itself takes no room from the application", async () => {
  const rig = await new Rig({ queueCountMax: 2, queueBytesMax: 400 }).connect();
  rig.server.answers.subscribe = () => undefined;
  for (let index = 0; index < 50; index++) rig.client.channel(`room:${index}`).subscribe();
  rig.server.last.close(1006, "");
  await rig.clock.advance(1000);
  expect(rig.server.last.sent("subscribe").length).toBe(50);
  const published = [rig.client.channel<string>("a").publish("1"), rig.client.channel<string>("a").publish("2")];
  expect(await Promise.all(published.map(outcome))).toEqual(published.map(() => ({ epoch: "e", offset: 1 })));
});

test("what was answered makes room again", async () => {
  const rig = await new Rig({ queueCountMax: 1, queueBytesMax: 1000 }).connect();
  for (let index = 0; index < 20; index++) await rig.client.channel<string>("a").publish("x".repeat(300));
  expect(rig.server.last.sent("publish").length).toBe(20);
});

test("a request fails in time: on a standing connection, and waiting for one", async () => {
  const rig = await new Rig().connect();
  rig.server.answers.publish = () => undefined;
  const sent = outcome(rig.client.channel<string>("a").publish("x"));
  await rig.clock.advance(10_000);
  expect(await sent).toBe("timeout");

  const away = new Rig();
  away.server.accept = "refuse";
  const waiting = outcome(away.client.channel<string>("a").publish("x"));
  await away.connect();
  await away.clock.advance(59_999);
  away.client
    .channel<string>("a")
    .publish("later")
    .catch(() => undefined);
  await away.clock.advance(1);
  expect(await waiting).toBe("timeout");
});

test("an answer that comes too late is nobody's", async () => {
  const rig = await new Rig().connect();
  rig.server.answers.publish = () => undefined;
  const sent = outcome(rig.client.channel<string>("a").publish("x"));
  await rig.clock.advance(10_000);
  expect(await sent).toBe("timeout");
  const id = rig.server.last.sent("publish")[0]?.id ?? 0;
  rig.server.last.send({ type: "published", id, channel: "a", epoch: "e", offset: 1 });
  expect(rig.errors).toEqual([]);
});

test("an error of the server carries code, retry and remedy", async () => {
  const rig = await new Rig().connect();
  rig.server.answers.publish = ({ id }) => ({ type: "error", id, code: 202, message: "slower", retry: 500 });
  const error = await rig.client
    .channel<string>("a")
    .publish("x")
    .catch((error: unknown) => error);
  expect(error).toMatchObject({ reason: "refused", code: 202, message: "slower", retryMs: 500, remedy: "retry" });
});

test("call asks the application; a cut fails it instead of asking twice", async () => {
  const rig = await new Rig().connect();
  rig.server.answers.call = ({ id, data }) => ({ type: "result", id, data: { got: data ?? null } });
  expect(await rig.client.call<{ got: number }>("m", 1)).toEqual({ got: 1 });
  rig.server.answers.call = () => undefined;
  const lost = outcome(rig.client.call("m"));
  rig.server.last.close(1006, "");
  expect(await lost).toBe("lost");
});

test("history and presence", async () => {
  const rig = await new Rig().connect();
  const entry = { offset: 7, data: "x", time: 1 };
  rig.server.answers.history = ({ id, channel }) => ({
    type: "history",
    id,
    channel,
    epoch: "e",
    offset: 7,
    publications: [entry],
    more: true,
  });
  const member = { session: "s" };
  rig.server.answers.presence = ({ id, channel }) => ({
    type: "presence",
    id,
    channel,
    members: [member],
    users: 1,
    sessions: 1,
  });
  const channel = rig.client.channel<string>("a");
  expect(await channel.history({ limit: 1, reverse: true })).toEqual({
    publications: [entry],
    position: { epoch: "e", offset: 7 },
    more: true,
  });
  expect(rig.server.last.sent("history")[0]).toMatchObject({ limit: 1, reverse: true });
  expect(await channel.presence()).toEqual({ members: [member], users: 1, sessions: 1 });
});

test("once closed, requests fail at once instead of waiting for nothing", async () => {
  const rig = await new Rig().connect();
  const answer = outcome(rig.client.channel<string>("a").history());
  rig.server.last.close(4102, "kicked");
  expect(await answer).toBe("disconnected");
  expect(await outcome(rig.client.channel<string>("a").publish("x"))).toBe("disconnected");
  expect(rig.clock.pending).toBe(0);
});

test("a message to this session alone is the client's", async () => {
  const rig = await new Rig().connect();
  const heard: unknown[] = [];
  rig.client.on("message", (message) => heard.push(message));
  rig.server.last.send({ type: "message", data: 1, name: "n" });
  expect(heard).toEqual([{ channel: "", data: 1, name: "n" }]);
});

test("a refusal that nobody waits for is reported", async () => {
  const rig = await new Rig().connect();
  rig.server.last.send({ type: "error", code: 108, message: "not subscribed" });
  expect(rig.errors).toMatchObject([{ reason: "refused", code: 108 }]);
});

test("off takes a handler away", async () => {
  const rig = new Rig();
  const heard: string[] = [];
  const off = rig.client.on("state", ({ status }) => heard.push(status));
  off();
  await rig.connect();
  expect(heard).toEqual([]);
});

test("urls: http becomes ws, a bare host gets /ws, query stays; without a page a url is needed", () => {
  expect(resolveUrl("https://push.example.com")).toBe("wss://push.example.com/ws");
  expect(resolveUrl("http://localhost:8080/?a=1")).toBe("ws://localhost:8080/ws?a=1");
  expect(resolveUrl("wss://x/other")).toBe("wss://x/other");
  expect(() => resolveUrl(undefined)).toThrow(TypeError);
});

test("connect() makes and connects a client", async () => {
  const { server, clock, surroundings } = new Rig();
  const client = connect("ws://test/ws", { WebSocket: server.WebSocket, clock, surroundings });
  await settle();
  expect(client.state.status).toBe("connected");
  expect(server.last.url).toBe("ws://test/ws");
  client.disconnect();
});
