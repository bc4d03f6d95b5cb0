/** The HTTP API against a whole gateway: what a backend does reaches the clients that it is meant for. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Json, ServerFrame } from "@longwire/protocol";
import {
  API_KEY,
  PROCESSES,
  type PublishResult,
  signToken,
  startServer,
  type TestServer,
} from "../../test/support/server.ts";
import { connectClient, type TestClient } from "../../test/support/ws-client.ts";

let server: TestServer;
const clients: TestClient[] = [];
beforeAll(async () => {
  server = await startServer({ "channels-publish": "everybody" });
});
afterAll(async () => {
  for (const client of clients) client.terminate();
  await server.stop();
});

async function open(user?: string): Promise<TestClient> {
  const client = await connectClient(server.url, user === undefined ? {} : { token: await signToken({ sub: user }) });
  clients.push(client);
  if (user !== undefined) await client.next((frame) => frame.type === "subscribed" && frame.channel === `@${user}`);
  return client;
}

async function follow(channel: string, user?: string): Promise<TestClient> {
  const client = await open(user);
  await client.request({ type: "subscribe", channel });
  return client;
}

/** Calls the API; the answer must have this status. */
async function call<Answer>(method: string, path: string, body?: unknown, status = 200): Promise<Answer> {
  const answer = await server.api(method, `/api/${path}`, body);
  if (answer.status !== status) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body as Answer;
}

/** Calls an operation that has nothing to answer. */
async function command(path: string, body: unknown, method = "POST"): Promise<void> {
  const { status, body: answer } = await server.api(method, `/api/${path}`, body);
  if (status !== 204 && status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
}

async function codeOf(method: string, path: string, body?: unknown): Promise<[number, number | undefined]> {
  const answer = await server.api(method, `/api/${path}`, body);
  return [answer.status, (answer.body as { error?: { code: number } } | undefined)?.error?.code];
}

const isMessage = (frame: ServerFrame): boolean => frame.type === "message";

function dataOf(client: TestClient, channel: string): Json[] {
  return client.messages(channel).map(({ data }) => data);
}

/** What the server has sent to this client so far has come. */
async function settle(...those: readonly TestClient[]): Promise<void> {
  for (const client of those) await client.request({ type: "ping" });
}

describe("publish", () => {
  test("[AP-6] [AP-8] to a channel reaches its subscribers, and says how many they are", async () => {
    const followers = [await follow("one"), await follow("one", "ann")];
    expect(await server.publish("one", { text: "é" }, { name: "greeting" })).toMatchObject({
      channel: "one",
      offset: 1,
      online: true,
      subscribers: 2,
    });
    for (const follower of followers) {
      expect(await follower.next(isMessage)).toEqual({
        type: "message",
        channel: "one",
        offset: 1,
        name: "greeting",
        data: { text: "é" },
      });
    }
    expect(await server.publish("nobody-there", 1)).toMatchObject({ offset: 1, online: false, subscribers: 0 });
  });

  test("[AP-6] [AP-7] to channels and users: each target once, each with its own result, in order", async () => {
    const left = await follow("left");
    const right = await follow("right");
    const { results } = await call<{ results: (PublishResult & { error?: { code: number } })[] }>("POST", "publish", {
      channels: ["right", "left", "a b", "wms:x", "right"],
      data: "both",
    });
    expect(results.map(({ channel, offset, error }) => [channel, offset, error?.code])).toEqual([
      ["right", 1, undefined],
      ["left", 1, undefined],
      ["a b", undefined, 103],
      ["wms:x", undefined, 109],
    ]);
    await left.received("left", 1);
    await right.received("right", 1);
    const [phone, laptop] = [await open("dora"), await open("dora")];
    const users = await call<{ results: PublishResult[] }>("POST", "publish", { users: ["dora", "emil"], data: "you" });
    expect(users.results.map(({ channel, online, subscribers }) => [channel, online, subscribers])).toEqual([
      ["@dora", true, 2],
      ["@emil", false, 0],
    ]);
    for (const device of [phone, laptop]) expect((await device.received("@dora", 1))[0]?.data).toBe("you");
    await settle(left, right);
    expect([dataOf(left, "left"), dataOf(right, "right")]).toEqual([["both"], ["both"]]);
  });

  test("[IN-7] [F-6] a user who was offline gets it at the first connect, once", async () => {
    const { results } = await call<{ results: PublishResult[] }>("POST", "publish", { user: "late", data: "waiting" });
    expect(results[0]).toMatchObject({ channel: "@late", offset: 1, online: false });
    const late = await open("late");
    expect((await late.received("@late", 1)).map(({ data }) => data)).toEqual(["waiting"]);
    await late.request({ type: "ack", channel: "@late", offset: 1 });
    const again = await open("late");
    await settle(again);
    expect(dataOf(again, "@late")).toEqual([]);
  });

  test("[PU-6] the excluded session gets it neither live nor by recovery", async () => {
    const sender = await follow("talk");
    const other = await follow("talk");
    const { epoch } = await server.publish("talk", "to all but one", { exclude: sender.session });
    await server.publish("talk", "to all");
    expect((await other.received("talk", 2)).map(({ offset }) => offset)).toEqual([1, 2]);
    expect((await sender.received("talk", 1)).map(({ offset }) => offset)).toEqual([2]);
    await sender.request({ type: "unsubscribe", channel: "talk" });
    await sender.request({ type: "subscribe", channel: "talk", since: { epoch, offset: 0 } });
    expect((await sender.received("talk", 2)).map(({ offset }) => offset)).toEqual([2, 2]);
  });

  test("[PU-7] without history: now or never, no offset, none used", async () => {
    const listener = await follow("ticks");
    expect(await server.publish("ticks", "kept")).toMatchObject({ offset: 1 });
    const { results } = await call<{ results: PublishResult[] }>("POST", "publish", {
      channel: "ticks",
      data: "tick",
      history: false,
    });
    expect(results[0]).not.toHaveProperty("offset");
    expect(results[0]).toMatchObject({ online: true, subscribers: 1 });
    expect(await server.publish("ticks", "kept too")).toMatchObject({ offset: 2 });
    await listener.received("ticks", 3);
    expect(listener.messages("ticks").map(({ offset, data }) => [offset, data])).toEqual([
      [1, "kept"],
      [undefined, "tick"],
      [2, "kept too"],
    ]);
    const { publications } = await call<{ publications: { data: Json }[] }>("GET", "channels/ticks/history");
    expect(publications.map(({ data }) => data)).toEqual(["kept", "kept too"]);
  });

  test("[PU-4] [AP-10] a repeated key is stored once and answered alike; with other data it is 409", async () => {
    const listener = await follow("orders");
    const first = await server.publish("orders", { id: 7 }, { key: "order-7" });
    const again = await Promise.all([1, 2, 3].map(() => server.publish("orders", { id: 7 }, { key: "order-7" })));
    for (const { epoch, offset } of again) expect([epoch, offset]).toEqual([first.epoch, first.offset]);
    expect(await codeOf("POST", "publish", { channel: "orders", data: { id: 8 }, key: "order-7" })).toEqual([409, 111]);
    expect(await server.publish("orders:2", { id: 8 }, { key: "order-7" })).toMatchObject({ offset: 1 });
    await server.publish("orders", "end");
    expect((await listener.received("orders", 2)).map(({ data }) => data)).toEqual([{ id: 7 }, "end"]);
  });

  test("[AP-9] [PU-10] a batch is carried out in order, one that fails stops nothing", async () => {
    const listener = await follow("batch");
    const publications = Array.from({ length: 200 }, (_, at) =>
      at === 100 ? { channel: "batch", data: 1, nonsense: 1 } : { channel: "batch", data: at },
    );
    const { results } = await call<{ results: (PublishResult & { error?: { code: number; path: string } })[] }>(
      "POST",
      "batch",
      { publications },
    );
    expect(results).toHaveLength(200);
    expect(results[100]?.error).toMatchObject({ code: 102, path: "publications[100].nonsense" });
    expect(results.filter(({ error }) => error === undefined).map(({ offset }) => offset)).toEqual(
      Array.from({ length: 199 }, (_, at) => at + 1),
    );
    const messages = await listener.received("batch", 199);
    expect(messages.map(({ data }) => data)).toEqual(
      Array.from({ length: 200 }, (_, at) => at).filter((at) => at !== 100),
    );
  });
});

describe("sessions", () => {
  test("[AP-14] [PU-7] send reaches one session alone, without channel and offset", async () => {
    const [one, other] = [await open("fay"), await open("fay")];
    await command(`sessions/${one.session}/send`, { data: [1], name: "whisper" });
    expect(await one.next(isMessage)).toEqual({ type: "message", name: "whisper", data: [1] });
    await settle(other);
    expect(other.frames.filter(isMessage)).toEqual([]);
    expect(await codeOf("POST", "sessions/nobody/send", { data: 1 })).toEqual([404, 110]);
  });

  test("[BY-9] [AP-14] disconnect ends it with 4102, or with 4206 where it may come back, with the reason given", async () => {
    const [kicked, asked] = [await open(), await open()];
    await command(`sessions/${kicked.session}/disconnect`, { reason: "spam" });
    expect(await kicked.closed).toMatchObject({ code: 4102, reason: expect.stringContaining("spam") as string });
    expect(kicked.frames.at(-1)).toMatchObject({ type: "disconnect", code: 4102, reconnect: false });
    await command(`sessions/${asked.session}/disconnect`, { reconnect: true });
    expect((await asked.closed).code).toBe(4206);
    expect(asked.frames.at(-1)).toMatchObject({ reconnect: true });
    expect(await codeOf("GET", `sessions/${kicked.session}`)).toEqual([404, 110]);
    const resumed = await connectClient(server.url, { session: kicked.session });
    clients.push(resumed);
    expect(resumed.frames[0]).toMatchObject({ resumed: false });
  });

  test("[AP-14] [SU-7] subscribe and unsubscribe act on the session, and are announced to it", async () => {
    const client = await open();
    await command(`sessions/${client.session}/subscribe`, { channel: "club" });
    expect(await client.next((frame) => frame.type === "subscribed")).not.toHaveProperty("id");
    await server.publish("club", 1);
    await client.received("club", 1);
    expect(await call("GET", `sessions/${client.session}`)).toMatchObject({ channels: ["club"], protocol: "native" });
    await command(`sessions/${client.session}/unsubscribe`, { channel: "club" });
    expect(await client.next((frame) => frame.type === "unsubscribed")).toMatchObject({ channel: "club", code: 118 });
    await server.publish("club", 2);
    await settle(client);
    expect(dataOf(client, "club")).toEqual([1]);
    expect(await codeOf("POST", `sessions/${client.session}/unsubscribe`, { channel: "club" })).toEqual([409, 108]);
    expect(await codeOf("POST", `sessions/${client.session}/subscribe`, { channel: "@bob" })).toEqual([403, 109]);
    expect(await codeOf("POST", `sessions/${client.session}/subscribe`, { channel: "a b" })).toEqual([400, 103]);
  });

  test("[AP-14] [AP-15] [CO-11] user, channels and data that the backend gave outlive a lost connection", async () => {
    const client = await open();
    const path = `sessions/${client.session}`;
    await command(`${path}/user`, { user: "gus" });
    await client.next((frame) => frame.type === "subscribed" && frame.channel === "@gus");
    await command(`${path}/subscribe`, { channel: "vip" });
    await command(`${path}/data`, { cart: [1], theme: "dark" }, "PUT");
    expect(await call<Json>("PATCH", `${path}/data`, { cart: [1, 2], theme: null, __proto: 1 })).toEqual({
      cart: [1, 2],
      __proto: 1,
    });
    expect(await call("GET", "users/gus")).toMatchObject({ online: true, sessions: [{ session: client.session }] });
    client.terminate();
    await client.closed;
    const back = await connectClient(server.url, { session: client.session });
    clients.push(back);
    expect(back.frames[0]).toMatchObject({ session: client.session, user: "gus", resumed: true });
    await back.next((frame) => frame.type === "subscribed" && frame.channel === "@gus");
    await back.next((frame) => frame.type === "subscribed" && frame.channel === "vip");
    expect(await call<Json>("GET", `${path}/data`)).toEqual({ cart: [1, 2], __proto: 1 });
    await command(`${path}/user`, { user: null });
    expect(await back.next((frame) => frame.type === "unsubscribed")).toMatchObject({ channel: "@gus" });
    expect(await call("GET", "users/gus")).toMatchObject({ online: false, sessions: [] });
  });
});

describe("users", () => {
  test("[AP-13] subscribe, unsubscribe and disconnect act on all sessions of the user, and on nobody else's", async () => {
    const his = [await open("hal"), await open("hal"), await open("hal")];
    const ivy = await open("ivy");
    expect(await call<Json>("POST", "users/hal/subscribe", { channel: "team" })).toEqual({ sessions: 3 });
    expect(await server.publish("team", 1)).toMatchObject({ subscribers: 3 });
    for (const client of his) await client.received("team", 1);
    expect(await call<Json>("POST", "users/hal/unsubscribe", { channel: "team" })).toEqual({ sessions: 3 });
    expect(await server.publish("team", 2)).toMatchObject({ subscribers: 0 });
    expect(await codeOf("POST", "users/hal/subscribe", { channel: "@ivy" })).toEqual([403, 109]);
    expect(await call<Json>("POST", "users/hal/disconnect", { reconnect: true })).toEqual({ sessions: 3 });
    for (const client of his) expect((await client.closed).code).toBe(4206);
    const back = await open("hal");
    expect(await call<Json>("POST", "users/hal/disconnect", {})).toEqual({ sessions: 1 });
    expect(await back.closed).toMatchObject({ code: 4102 });
    expect(back.frames.at(-1)).toMatchObject({ reconnect: false });
    expect(await call("GET", "users/hal")).toMatchObject({ online: false });
    expect(await call<Json>("POST", "users/hal/disconnect", {})).toEqual({ sessions: 0 });
    await settle(ivy);
    expect(dataOf(ivy, "team")).toEqual([]);
  });
});

describe("channels", () => {
  test("[AP-11] 2,500 channels are listed page by page, each once, in order, followed ones included", async () => {
    const names = Array.from({ length: 2500 }, (_, at) => `many:${String(at).padStart(4, "0")}`);
    await call("POST", "publish", { channels: names, data: 1 });
    await follow("many:followed");
    const found: string[] = [];
    for (let after: string | undefined; ; after = found.at(-1)) {
      const query = new URLSearchParams({ prefix: "many:", limit: "700", ...(after !== undefined && { after }) });
      const page = await call<{ channels: { channel: string; kept: number }[]; more: boolean }>(
        "GET",
        `channels?${query}`,
      );
      found.push(...page.channels.map(({ channel }) => channel));
      expect(page.channels.every(({ channel, kept }) => kept === (channel === "many:followed" ? 0 : 1))).toBe(true);
      if (!page.more) break;
      expect(page.channels).toHaveLength(700);
    }
    expect(found).toEqual([...names, "many:followed"]);
  });

  test("[AP-12] [PR-2] [PR-3] presence lists who asked to be present, and counts people and sessions", async () => {
    const [tab, page, guest, hidden] = [await open("jo"), await open("jo"), await open(), await open("kim")];
    const listed = () => call<{ sessions: number; [field: string]: Json }>("GET", "channels/here/presence");
    for (const [at, client] of [tab, page, guest].entries()) {
      await client.request({ type: "subscribe", channel: "here", presence: { at: "desk" } });
      // The reply comes before its `join`, and so before the entry is kept: the next one might overtake it.
      while ((await listed()).sessions <= at) await Bun.sleep(10);
    }
    await hidden.request({ type: "subscribe", channel: "here" });
    expect(await listed()).toEqual({
      members: [
        { session: tab.session, user: "jo", data: { at: "desk" } },
        { session: page.session, user: "jo", data: { at: "desk" } },
        { session: guest.session, data: { at: "desk" } },
      ],
      users: 2,
      sessions: 3,
    });
    expect(await call("GET", "channels/here")).toMatchObject({ subscribers: 4, users: 2 });
  });

  test("[HI-1] [HI-2] [HI-3] [HI-4] [AP-12] history is read in both directions, page by page", async () => {
    for (let data = 1; data <= 25; data++) await server.publish("log", data);
    const all = Array.from({ length: 25 }, (_, at) => at + 1);
    expect(await readLog("")).toEqual(all);
    expect(await readLog("&reverse=true")).toEqual(all.toReversed());
    const { epoch } = await server.publish("log", 26);
    for (const since of ["elsewhere.3", `${epoch}.27`, `${epoch}.9007199254740`]) {
      expect(await codeOf("GET", `channels/log/history?since=${since}`)).toEqual([404, 110]);
    }
  });

  test("[HI-7] a deleted history is gone, the numbering goes on, and who missed it is told", async () => {
    const live = await follow("cleared");
    const { epoch } = await server.publish("cleared", 1);
    await server.publish("cleared", 2);
    await command("channels/cleared/history", undefined, "DELETE");
    expect(await call("GET", "channels/cleared/history")).toMatchObject({ epoch, offset: 2, publications: [] });
    const late = await open();
    expect(await late.request({ type: "subscribe", channel: "cleared", since: { epoch, offset: 1 } })).toMatchObject({
      epoch,
      offset: 2,
      recovered: false,
    });
    expect(await server.publish("cleared", 3)).toMatchObject({ epoch, offset: 3 });
    expect((await live.received("cleared", 3)).map(({ offset }) => offset)).toEqual([1, 2, 3]);
    expect((await late.received("cleared", 1)).map(({ offset }) => offset)).toEqual([3]);
  });
});

describe("state and totals", () => {
  test("[AP-16] [EN-9] a thousand additions at once sum up, each with a result of its own", async () => {
    const answers = await Promise.all(
      Array.from({ length: 1000 }, () => call<{ value: number }>("POST", "state/visits", { add: 1 })),
    );
    const values = answers.map(({ value }) => value);
    expect(new Set(values).size).toBe(1000);
    expect(Math.max(...values)).toBe(1000);
    expect(await call<Json>("GET", "state/visits")).toEqual({ value: 1000 });
    expect(await call<Json>("POST", "state/visits", { set: { any: ["json"] } })).toEqual({ value: { any: ["json"] } });
    expect(await codeOf("POST", "state/visits", { add: 1 })).toEqual([400, 102]);
    await command("state/visits", undefined, "DELETE");
    expect(await codeOf("GET", "state/visits")).toEqual([404, 110]);
    // The server's own records lie beside the application's, out of its reach.
    const client = await open();
    await command(`sessions/${client.session}/data`, { a: 1 }, "PUT");
    expect(await codeOf("GET", `state/session%2F${client.session}`)).toEqual([404, 110]);
  });

  test("[AP-17] stats give totals of what is there", async () => {
    const fresh = await startServer();
    const bob = await connectClient(fresh.url, { token: await signToken({ sub: "bob" }) });
    const guest = await connectClient(fresh.url);
    for (const client of [bob, guest]) await client.request({ type: "subscribe", channel: "a" });
    await fresh.publish("a", 1);
    await fresh.publish("b", 1);
    for (const client of [bob, guest]) await client.received("a", 1);
    const { body } = await fresh.api("GET", "/api/stats");
    expect(body).toMatchObject({ sessions: 2, users: 1, subscriptions: 3, deliveries: 2, processes: PROCESSES });
    // The one to which both are subscribed counts in each process that has one of them.
    expect(PROCESSES === 1 ? [2] : [2, 3]).toContain((body as { channels: number }).channels);
    bob.terminate();
    guest.terminate();
    await fresh.stop();
  });
});

test("[AP-1] [ST-8] a wrong key opens nothing, and is not repeated in the answer", async () => {
  for (const authorization of [
    "",
    "Bearer",
    "Bearer wrong-key-of-the-test",
    `Basic ${API_KEY}`,
    `Bearer ${API_KEY}x`,
  ]) {
    const response = await fetch(`${server.url}/api/stats`, { headers: authorization === "" ? {} : { authorization } });
    expect([authorization, response.status]).toEqual([authorization, 401]);
    expect(await response.text()).not.toContain("wrong-key");
  }
});

/** Offsets of the history of `log`, page by page. */
async function readLog(direction: string): Promise<number[]> {
  const offsets: number[] = [];
  for (let since = ""; ;) {
    const page = await call<{ epoch: string; publications: { offset: number }[]; more: boolean; offset: number }>(
      "GET",
      `channels/log/history?limit=10${direction}${since}`,
    );
    expect(page.offset).toBe(25);
    offsets.push(...page.publications.map(({ offset }) => offset));
    if (!page.more) return offsets;
    since = `&since=${page.epoch}.${offsets.at(-1)}`;
  }
}
