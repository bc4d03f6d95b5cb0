/** The SDK over each transport against a whole gateway: the same promises on all of them, and over changes between them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Client, type ClientOptions } from "@longwire/client";
import { inflating } from "@longwire/client/compress";
import { EventSource } from "eventsource";
import { startServer, type TestServer } from "longwire/test/server";
import { connectClient } from "longwire/test/ws-client";
import { startProxy } from "./support/cutting-proxy.ts";
import { until } from "./support/wait.ts";

const NAMES = ["websocket", "stream", "sse", "poll"] as const;

let server: TestServer;
beforeAll(async () => {
  // Whoever publishes may be far ahead of whoever comes and goes.
  server = await startServer({ demo: "true", engine: "sqlite", "channels-history-size": "1000" });
});
afterAll(() => server.stop());

async function open(name: (typeof NAMES)[number], options: ClientOptions = {}): Promise<Client> {
  const client = new Client(server.url, { transports: [name], EventSource, ...options });
  client.connect();
  await client.ready();
  return client;
}

/** Where the user's inbox begins. */
async function acknowledgedOf(token: string): Promise<number> {
  const client = await connectClient(server.url, { token });
  const subscribed = await client.next((frame) => frame.type === "subscribed");
  await client.close();
  return "offset" in subscribed ? (subscribed.offset ?? 0) : 0;
}

let lastRoom = 0;
const newRoom = (): string => `demo:room-${++lastRoom}`;

for (const name of NAMES) {
  describe(name, () => {
    test("[P1] publications of many channels come in order, each once, while channels come and go", async () => {
      const client = await open(name);
      expect(client.state).toMatchObject({ status: "connected", transport: name });
      const rooms = Array.from({ length: 5 }, newRoom);
      const found = new Map<string, number[]>(rooms.map((room) => [room, []]));
      for (const room of rooms) {
        client
          .channel<number>(room)
          .subscribe("earliest")
          .on("message", ({ data }) => found.get(room)?.push(data));
      }
      for (let count = 0; count < 40; count++) {
        await Promise.all(rooms.map((room) => server.publish(room, count)));
        client.channel(`demo:other-${count % 3}`).subscribe();
        if (count % 2 === 0) client.channel(`demo:other-${count % 3}`).unsubscribe();
      }
      await until("all publications", () => rooms.every((room) => found.get(room)?.length === 40));
      const all = Array.from({ length: 40 }, (_, count) => count);
      for (const room of rooms) expect(found.get(room)).toEqual(all);
      client.disconnect();
    });

    test("[PU-1] requests are answered: publish, history, presence, and what is refused", async () => {
      const client = await open(name);
      const room = client.channel<string>(newRoom(), { presence: { nick: "Ann" }, events: true }).subscribe();
      await room.ready();
      const positions = await Promise.all(["a", "b", "c"].map((text) => room.publish(text)));
      expect(positions.map((position) => position?.offset)).toEqual([1, 2, 3]);
      const { publications } = await room.history();
      expect(publications.map(({ data }) => data)).toEqual(["a", "b", "c"]);
      const { members, sessions } = await room.presence();
      expect([members.map(({ data }) => data), sessions]).toEqual([[{ nick: "Ann" }], 1]);
      expect(
        await client
          .channel("news")
          .publish("no")
          .catch((error: unknown) => error),
      ).toMatchObject({ code: 302 });
      client.disconnect();
    });

    test("[SD-5] what is larger than the server takes is refused, and the client stays", async () => {
      const client = await open(name, { queueBytesMax: 10_000_000, backoff: { minMs: 10, maxMs: 50 } });
      const room = client.channel<string>(newRoom());
      for (const length of [100_000, 2_000_000]) {
        const error = await room.publish("x".repeat(length)).catch((error: unknown) => error);
        expect(error).toMatchObject({ reason: "refused", code: 104 });
      }
      await client.ready();
      expect((await room.publish("small"))?.offset).toBe(1);
      client.disconnect();
    });

    test("[PU-4] over connections that are cut all the time everything said is stored once, and heard once, in order", async () => {
      const proxy = startProxy(Number(new URL(server.url).port));
      const client = new Client(proxy.url, {
        transports: [name],
        EventSource,
        backoff: { minMs: 5, maxMs: 20 },
        queueCountMax: 10_000,
      });
      const rooms = [newRoom(), newRoom()];
      const found = rooms.map((room): number[] => {
        const heard: number[] = [];
        client
          .channel<number>(room)
          .subscribe("earliest")
          .on("message", ({ data }) => heard.push(data));
        return heard;
      });
      client.connect();
      const cutting = setInterval(() => proxy.cut(0.2), 5);
      const sent: Promise<unknown>[] = [];
      for (let count = 0; count < 100; count++) {
        for (const room of rooms) sent.push(client.channel<number>(room).publish(count));
        await Bun.sleep(3);
        // Subscriptions of others come and go meanwhile.
        client.channel(`demo:cut-${count % 4}`).subscribe();
        if (count % 3 === 0) client.channel(`demo:cut-${count % 4}`).unsubscribe();
      }
      await Bun.sleep(50);
      clearInterval(cutting);
      await Promise.all(sent);
      await until("everything", () => found.every((heard) => heard.length >= 100));
      expect(proxy.cuts).toBeGreaterThan(0);
      for (const heard of found) expect(heard).toEqual(Array.from({ length: 100 }, (_, count) => count));
      client.disconnect();
      proxy.stop();
    }, 60_000);

    test("[IN-7] the inbox is handed over once, acknowledged, and goes on after a while away", async () => {
      const user = `bob-${name}`;
      await server.publish(`@${user}`, 1);
      const token = await server.token({ sub: user });
      const found: unknown[] = [];
      const first = await open(name, { token });
      first.inbox().on("message", ({ data }) => found.push(data));
      await until("the first", () => found.length === 1);
      await server.publish(`@${user}`, 2);
      await until("the second", () => found.length === 2);
      first.disconnect();
      // On its way out it says what it has handled, in a request of its own: another process must not be asked before that is kept.
      await until("the acknowledgement", async () => (await acknowledgedOf(token)) === 2);
      await server.publish(`@${user}`, 3);
      const second = new Client(server.url, { transports: [name], EventSource, token });
      second.inbox().on("message", ({ data }) => found.push(data));
      second.connect();
      await until("the third", () => found.length >= 3);
      await Bun.sleep(50);
      expect(found).toEqual([1, 2, 3]);
      second.disconnect();
    });

    test("[BY-9] the application ends it for good, and a bad token does", async () => {
      const user = `eve-${name}`;
      const client = await open(name, { token: await server.token({ sub: user }) });
      // Between two polls there is nothing that could be ended.
      await Bun.sleep(50);
      await server.api("POST", `/api/users/${user}/disconnect`, {});
      await until("the end", () => client.state.status === "closed");
      expect(client.state).toMatchObject({ status: "closed", code: 4102 });
      // An event stream cannot see why it was refused; the poll behind it can.
      const transports = name === "sse" ? (["sse", "poll"] as const) : [name];
      const refused = new Client(server.url, { transports, EventSource, token: "no token" });
      refused.connect();
      await until("the refusal", () => refused.state.status === "closed");
    });

    test("[CO-8] a token that expires is renewed in time, and the session goes on", async () => {
      let asked = 0;
      const getToken = async (): Promise<string> => {
        asked++;
        return await server.token({ sub: `kim-${name}`, exp: Math.floor(Date.now() / 1000) + 3 });
      };
      const client = await open(name, { getToken });
      const statuses: string[] = [];
      client.on("state", ({ status }) => statuses.push(status));
      await until("two renewals", () => asked >= 3);
      expect(statuses).toEqual([]);
      client.disconnect();
    });

    test("[CO-23] a new token that allows less ends what it does not allow, and the rest goes on", async () => {
      const [kept, lost] = [newRoom(), newRoom()];
      const lives = [
        { exp: Math.floor(Date.now() / 1000) + 3, allow: { subscribe: [kept, lost] } },
        { exp: Math.floor(Date.now() / 1000) + 3600, allow: { subscribe: [kept] } },
      ];
      const getToken = (): Promise<string> => server.token({ sub: `lee-${name}`, ...lives.shift() });
      const client = await open(name, { getToken });
      const found: number[] = [];
      const heard: number[] = [];
      const [stays, goes] = [client.channel<number>(kept), client.channel<number>(lost)];
      stays.subscribe().on("message", ({ data }) => found.push(data));
      goes.subscribe().on("message", ({ data }) => heard.push(data));
      await Promise.all([stays.ready(), goes.ready()]);
      await until("the refusal", () => goes.state.status === "unsubscribed");
      expect(goes.state).toMatchObject({ code: 109 });
      await Promise.all([server.publish(kept, 1), server.publish(lost, 1)]);
      await until("the publication", () => found.length === 1);
      expect([found, heard]).toEqual([[1], []]);
      expect(client.state.status).toBe("connected");
      client.disconnect();
    });

    test("[CO-11] over a restart of the server nothing is lost", async () => {
      const client = await open(name, { backoff: { minMs: 50, maxMs: 200 } });
      const room = newRoom();
      const found: number[] = [];
      client
        .channel<number>(room)
        .subscribe("earliest")
        .on("message", ({ data }) => found.push(data));
      await client.channel(room).ready();
      await server.publish(room, 1);
      await until("the first", () => found.length === 1);
      await server.restart();
      await server.publish(room, 2);
      await until("the second", () => found.length === 2);
      expect(found).toEqual([1, 2]);
      client.disconnect();
    }, 30_000);
  });
}

test("[P3] a client that changes the transport at random gets everything once, in order", async () => {
  const room = newRoom();
  const found: number[] = [];
  let position: { epoch: string; offset: number } | "earliest" = "earliest";
  const publisher = (async () => {
    for (let count = 0; count < 300; count++) await server.publish(room, count);
  })();
  for (let hop = 0; found.length < 300; hop++) {
    const client = await open(NAMES[(hop * 7 + 3) % 4] ?? "poll");
    const channel = client.channel<number>(room);
    channel.on("message", ({ data }) => found.push(data));
    channel.subscribe(position);
    await channel.ready();
    await Bun.sleep(hop % 5);
    position = channel.position ?? position;
    client.disconnect();
  }
  await publisher;
  expect(found).toEqual(Array.from({ length: 300 }, (_, count) => count));
});

test("[CM-4] large publications come deflated to who asks for it, in their order among the others", async () => {
  const client = await open("websocket", { WebSocket: inflating() });
  const room = newRoom();
  const found: number[] = [];
  client
    .channel<string>(room)
    .subscribe("earliest")
    .on("message", ({ data }) => found.push(data.length));
  await client.channel(room).ready();
  const lengths = Array.from({ length: 60 }, (_, count) => (count % 3 === 0 ? 20_000 + count : count));
  for (const length of lengths) await server.publish(room, "x".repeat(length));
  await until("all", () => found.length === lengths.length);
  expect(found).toEqual(lengths);
  client.disconnect();
});

test("what was subscribed, asked and left at any moment leaves no session behind", async () => {
  for (const name of NAMES) {
    for (let turns = 0; turns < 40; turns += 3) {
      const client = new Client(server.url, { transports: [name], EventSource });
      client.channel("demo:left").subscribe();
      client.connect();
      const sent = client
        .channel("demo:left")
        .publish(turns)
        .catch(() => undefined);
      await Bun.sleep(turns);
      client.disconnect();
      await sent;
    }
  }
  await until("no session", async () => {
    const { body } = await server.api("GET", "/api/sessions");
    return (body as { sessions: unknown[] }).sessions.length === 0;
  });
});
