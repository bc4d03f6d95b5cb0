import { expect, test } from "bun:test";
import { FakeClock, settle } from "../test/support/fake-clock.ts";
import { FakeServer, message } from "../test/support/fake-server.ts";
import { FakeStorage } from "../test/support/fake-surroundings.ts";
import { Rig } from "../test/support/rig.ts";
import type { ClientOptions } from "./options.ts";

/** A page of a tab: opened, subscribed to `room:1`, and left by `leave`. */
class Page {
  readonly rig: Rig;
  readonly found: number[] = [];

  constructor(
    server: FakeServer,
    tab: FakeStorage,
    options: ClientOptions = {},
    browser: FakeStorage = new FakeStorage(),
  ) {
    const storage = { session: tab, local: browser };
    this.rig = new Rig({ persist: "session", storage, ...options }, server, new FakeClock());
  }

  async open(): Promise<this> {
    const channel = this.rig.client.channel<string>("room:1").subscribe();
    channel.on("message", ({ offset }) => this.found.push(offset ?? 0));
    await this.rig.connect();
    return this;
  }

  leave(): void {
    this.rig.surroundings.tell("hide");
  }
}

test("the next page of a tab resumes the session and goes on at the position", async () => {
  const server = new FakeServer();
  const tab = new FakeStorage();
  const first = await new Page(server, tab).open();
  server.last.send(message("room:1", 1));
  server.last.send(message("room:1", 2));
  first.leave();
  const second = await new Page(server, tab).open();
  expect(server.last.sent("connect")[0]?.session).toBe("s1");
  expect(server.last.sent("subscribe")[0]?.since).toEqual({ epoch: "e", offset: 2 });
  server.last.send(message("room:1", 2));
  server.last.send(message("room:1", 3));
  expect(second.found).toEqual([3]);
});

test("a reconnection asks for the session too, and tells whether it was resumed", async () => {
  const rig = await new Rig().connect();
  rig.server.connected = { resumed: true };
  await rig.cut();
  expect(rig.server.last.sent("connect")[0]?.session).toBe("s1");
  expect(rig.client.state).toMatchObject({ status: "connected", resumed: true });
});

test("a duplicated tab does not find the session of the living one, but its positions", async () => {
  const server = new FakeServer();
  const tab = new FakeStorage();
  const page = await new Page(server, tab).open();
  server.last.send(message("room:1", 1));
  await page.rig.clock.advance(200);
  await new Page(server, tab.copy()).open();
  expect(server.last.sent("connect")[0]?.session).toBeUndefined();
  expect(server.last.sent("subscribe")[0]?.since).toEqual({ epoch: "e", offset: 1 });
});

test("a tab whose session went on elsewhere takes a new one at once and misses nothing", async () => {
  const server = new FakeServer();
  const page = await new Page(server, new FakeStorage()).open();
  server.last.send(message("room:1", 1));
  server.last.send({ type: "disconnect", code: 4101, reason: "replaced", reconnect: false });
  await settle();
  expect(server.connections.length).toBe(2);
  expect(server.last.sent("connect")[0]?.session).toBeUndefined();
  expect(server.last.sent("subscribe")[0]?.since).toEqual({ epoch: "e", offset: 1 });
  expect(page.rig.client.state).toMatchObject({ status: "connected", session: "s2" });
});

test("replaced again and again is a backoff, not a storm", async () => {
  const server = new FakeServer();
  server.answers.connect = () => ({ type: "disconnect", code: 4101, reason: "replaced", reconnect: false });
  const rig = new Rig({}, server);
  await rig.connect();
  await rig.clock.advance(5000);
  expect(server.connections.length).toBeLessThan(5);
});

test("after the back-forward cache the session is this page's again", async () => {
  const server = new FakeServer();
  const tab = new FakeStorage();
  const page = await new Page(server, tab).open();
  page.rig.surroundings.tell("hide");
  expect(tab.copy().items.size).toBe(2);
  page.rig.surroundings.tell("show");
  expect(tab.copy().items.size).toBe(1);
});

test("persist local keeps positions for other tabs, the session for its own; tabs keep each other's channels", async () => {
  const server = new FakeServer();
  const browser = new FakeStorage();
  const tab = new FakeStorage();
  const one = await new Page(server, tab, { persist: "local" }, browser).open();
  server.last.send(message("room:1", 4));
  const other = new Rig({ persist: "local", storage: { session: new FakeStorage(), local: browser } }, server);
  other.client.channel("other").subscribe();
  await other.connect();
  await one.rig.clock.advance(200);
  await other.clock.advance(200);
  one.leave();
  const third = await new Page(server, new FakeStorage(), { persist: "local" }, browser).open();
  expect(server.last.sent("connect")[0]?.session).toBeUndefined();
  expect(server.last.sent("subscribe")[0]?.since).toEqual({ epoch: "e", offset: 4 });
  third.rig.client.channel("room:1").unsubscribe();
  await third.rig.clock.advance(200);
  const kept = JSON.parse(browser.getItem("longwire ws://test/ws") ?? "") as object;
  expect(Object.keys(kept)).toEqual(["other"]);
});

test("positions of what the server subscribes by itself go with the next page's `connect`", async () => {
  const server = new FakeServer();
  server.connected = { user: "bob" };
  const tab = new FakeStorage();
  const page = await new Page(server, tab).open();
  page.rig.client.inbox().on("message", () => undefined);
  server.last.send({ type: "subscribed", channel: "@bob", epoch: "e", offset: 0, recovered: true });
  server.last.send(message("@bob", 3));
  page.leave();
  await new Page(server, tab).open();
  expect(server.last.sent("connect")[0]?.since).toEqual({ "@bob": { epoch: "e", offset: 3 } });
});

test("persist none leaves no trace", async () => {
  const tab = new FakeStorage();
  const page = await new Page(new FakeServer(), tab, { persist: "none" }).open();
  page.rig.server.last.send(message("room:1", 1));
  await page.rig.clock.advance(1000);
  page.leave();
  expect(tab.items.size).toBe(0);
});

test("storage that is full, forbidden or filled by others: the client works without it", async () => {
  const tab = new FakeStorage([
    ["longwire ws://test/ws", '{"room:1":{"epoch":1},"x":null,"y":{"epoch":"e","offset":"2"}}'],
    ["longwire ws://test/ws session", "s0"],
  ]);
  tab.setItem = () => {
    throw new Error("full");
  };
  const page = await new Page(new FakeServer(), tab).open();
  page.rig.server.last.send(message("room:1", 1));
  await page.rig.clock.advance(200);
  expect(page.found).toEqual([1]);
  expect(page.rig.server.last.sent("subscribe")[0]?.since).toBeUndefined();
  expect(page.rig.errors).toEqual([new Error("full")]);

  const broken = new FakeStorage([["longwire ws://test/ws", "{"]]);
  const other = await new Page(new FakeServer(), broken).open();
  expect(other.rig.client.state.status).toBe("connected");
});
