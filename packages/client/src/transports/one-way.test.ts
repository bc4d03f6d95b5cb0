import { describe, expect, test } from "bun:test";
import { FakeHttp } from "../../test/support/fake-http.ts";
import { FakeServer, message } from "../../test/support/fake-server.ts";
import { settle } from "../../test/support/fake-clock.ts";
import { Rig } from "../../test/support/rig.ts";
import type { ClientOptions } from "../options.ts";

/** A client on one transport of a scripted server. */
class OneWayRig extends Rig {
  readonly http: FakeHttp;

  constructor(name: "stream" | "sse" | "poll", options: ClientOptions = {}) {
    const server = new FakeServer();
    const http = new FakeHttp(server);
    super({ transports: [name], ...http.means, ...options }, server);
    this.http = http;
    server.answers.connect = ({ id, session }) => ({
      type: "connected",
      ...(id !== undefined && { id }),
      session: session ?? "s1",
      ping: 25_000,
      ...server.connected,
    });
  }
}

for (const name of ["stream", "sse", "poll"] as const) {
  describe(name, () => {
    test("[OW-1] connects, and the state tells the transport", async () => {
      const rig = new OneWayRig(name, { token: "t", client: "phone" });
      await rig.connect();
      expect(rig.client.state).toEqual({ status: "connected", session: "s1", resumed: false, transport: name });
      expect(rig.http.requests[0]?.sent("connect")).toMatchObject([{ token: "t", client: "phone", ping: true }]);
    });

    test("[OW-4] channels of one moment share a request, with ids until they are answered and positions afterwards", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      const before = rig.http.requests.length;
      const found: number[] = [];
      for (const channel of ["a", "b", "c"]) {
        rig.client
          .channel(channel)
          .subscribe()
          .on("message", ({ offset }) => found.push(offset ?? 0));
      }
      await settle();
      const asking = rig.http.requests.slice(before).filter((request) => request.sent("subscribe").some(asks));
      expect(asking.length).toBe(1);
      expect(asking[0]?.sent("connect")).toMatchObject([{ session: "s1" }]);
      expect(asking[0]?.sent("connect").some(asks)).toBe(false);
      expect(rig.client.channel("b").state.status).toBe("subscribed");
      rig.http.last.send(message("b", 1));
      rig.http.last.send(message("b", 2));
      await settle();
      rig.client.channel("c").unsubscribe();
      await settle();
      expect(found).toEqual([1, 2]);
      expect(rig.http.last.sent("subscribe")).toEqual([
        { type: "subscribe", channel: "a", since: { epoch: "e", offset: 0 } },
        { type: "subscribe", channel: "b", since: { epoch: "e", offset: 2 } },
      ]);
    });

    test("[OW-4] what changes while an answer is owed waits for it: a storm of any length makes few requests", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      const before = rig.http.requests.length;
      rig.http.accept = () => "ignore";
      for (let count = 0; count < 50; count++) {
        rig.client.channel(`c${count}`).subscribe();
        if (count % 3 === 0) rig.client.channel(`c${count}`).unsubscribe();
        await settle();
      }
      // A poll that says nothing new waits, and so does not hold the next one up.
      expect(rig.http.requests.length).toBe(before + (name === "poll" ? 2 : 1));
      rig.http.accept = () => "open";
      // The unanswered request breaks; the next one asks for all that is wanted.
      rig.client.disconnect();
      await rig.connect();
      expect(rig.http.requests.length).toBeLessThan(before + 8);
      const wanted = Array.from({ length: 50 }, (_, count) => count).filter((count) => count % 3 !== 0);
      expect(rig.http.last.sent("subscribe").map(({ channel }) => channel)).toEqual(wanted.map((count) => `c${count}`));
      for (const count of wanted) expect(rig.client.channel(`c${count}`).state.status).toBe("subscribed");
    });

    test("[SU-11] unsubscribe and subscribe of a channel while an answer is owed end as the last one says", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      const channel = rig.client.channel("a");
      channel.subscribe();
      channel.unsubscribe();
      await settle();
      expect(rig.http.last.sent("subscribe")).toEqual([]);
      channel.subscribe("earliest");
      await settle();
      channel.subscribe("latest");
      await settle();
      expect(channel.state.status).toBe("subscribed");
      expect(rig.http.last.sent("subscribe").length).toBe(1);
    });

    test("[OW-6] a new request is no news to the application", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      const told: unknown[] = [];
      const room = rig.client.channel("a").subscribe();
      await settle();
      room.on("subscribed", (event) => told.push(event));
      room.on("state", (event) => told.push(event));
      const states = rig.states.length;
      rig.client.channel("b").subscribe();
      await settle();
      expect(told).toEqual([]);
      expect(rig.states.length).toBe(states);
    });

    test("[CO-9] what the server subscribes by itself is announced once, and its position goes along", async () => {
      const rig = new OneWayRig(name, { token: "t" });
      rig.server.connected = { user: "bob" };
      const found: number[] = [];
      rig.client.inbox().on("message", ({ offset }) => found.push(offset ?? 0));
      await rig.connect();
      rig.http.last.send({ type: "subscribed", channel: "@bob", epoch: "e", offset: 3, recovered: true });
      rig.http.last.send(message("@bob", 4));
      await settle();
      expect(found).toEqual([4]);
      rig.client.channel("a").subscribe();
      await settle();
      expect(rig.http.last.sent("connect")[0]?.since).toEqual({ "@bob": { epoch: "e", offset: 4 } });
      expect(rig.http.last.sent("subscribe").map(({ channel }) => channel)).toEqual(["a"]);
      await rig.clock.advance(200);
      expect(rig.http.of("send").at(-1)?.commands).toEqual([{ type: "ack", channel: "@bob", offset: 4, epoch: "e" }]);
      // Left here, and asked for again: the server has it all the time, and announces it anew.
      rig.server.answers.subscribe = ({ id }) => ({ type: "error", id, code: 107, message: "already" });
      rig.client.inbox().unsubscribe();
      await settle();
      rig.http.last.send(message("@bob", 5));
      await settle();
      const before = rig.http.requests.length;
      rig.client.inbox().subscribe();
      await settle();
      const loud = rig.http.requests.slice(before).filter(({ query }) => query.get("quiet") === null);
      expect(loud.length).toBeGreaterThan(0);
      expect(rig.client.inbox().state.status).toBe("subscribing");
      rig.http.last.send({ type: "subscribed", channel: "@bob", epoch: "e", offset: 3, recovered: true });
      rig.http.last.send(message("@bob", 4));
      await settle();
      expect(rig.client.inbox().state.status).toBe("subscribed");
      expect(rig.http.last.sent("subscribe").map(({ channel }) => channel)).toEqual(["a"]);
      expect(found).toEqual([4, 4]);
    });

    test("[OW-7] a channel that is refused, at once or in a later request, is not asked for again", async () => {
      const rig = new OneWayRig(name);
      const subscribe = rig.server.answers.subscribe;
      await rig.connect();
      rig.server.answers.subscribe = (command, connection) =>
        command.channel === "no"
          ? { type: "error", id: command.id, code: 109, message: "not allowed" }
          : subscribe?.(command, connection);
      rig.client.channel("no").subscribe();
      rig.client.channel("a").subscribe();
      await settle();
      expect(rig.client.channel("no").state).toMatchObject({ status: "unsubscribed", code: 109 });
      rig.client.channel("b").subscribe();
      await settle();
      expect(rig.http.last.sent("subscribe").map(({ channel }) => channel)).toEqual(["a", "b"]);
      rig.http.last.send({ type: "unsubscribed", channel: "a", code: 109, reason: "not any more" });
      await settle();
      expect(rig.client.channel("a").state).toMatchObject({ status: "unsubscribed", code: 109 });
      rig.client.channel("c").subscribe();
      await settle();
      expect(rig.http.last.sent("subscribe").map(({ channel }) => channel)).toEqual(["b", "c"]);
    });

    test("[SD-1] what is said goes out in order, one request at a time, and what waits shares the next", async () => {
      const rig = new OneWayRig(name, { token: "t&1" });
      await rig.connect();
      const room = rig.client.channel<number>("a");
      const sent = Promise.all([1, 2].map((data) => room.publish(data)));
      await settle();
      expect(await sent).toEqual([1, 2].map(() => ({ epoch: "e", offset: 1 })));
      rig.http.accept = () => "ignore";
      room.publish(3).catch(() => undefined);
      await settle();
      room.publish(4).catch(() => undefined);
      room.publish(5).catch(() => undefined);
      await settle();
      const posts = rig.http.of("send");
      expect(posts.map((post) => post.sent("publish").map(({ data }) => data))).toEqual([[1, 2], [3]]);
      expect(Object.fromEntries(posts[0]?.query ?? [])).toEqual({ session: "s1", token: "t&1" });
    });

    test("[PU-4] a request that broke ends the connection, and what it carried goes out again with its keys", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      rig.http.accept = ({ endpoint }) => (endpoint === "send" ? "refuse" : "open");
      const sent = rig.client.channel<number>("a").publish(1);
      await settle();
      rig.http.accept = () => "open";
      expect(rig.client.state.status).toBe("waiting");
      await rig.clock.advance(1000);
      await sent;
      const keys = rig.http.of("send").flatMap((post) => post.sent("publish").map(({ key }) => key));
      expect(keys.length).toBe(2);
      expect(keys[0]).toBe(keys[1]);
    });

    test("[SD-5] a body that is too large fails what was in it, and the connection comes back", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      rig.http.accept = ({ endpoint }) => (endpoint === "send" ? { status: 413, code: 104 } : "open");
      const error = await rig.client
        .channel("a")
        .publish("large")
        .catch((error: unknown) => error);
      expect(error).toMatchObject({ reason: "refused", code: 104 });
      await rig.clock.advance(1000);
      expect(rig.client.state.status).toBe("connected");
    });

    test("[CO-8] a renewed token is told by a new request, and the session goes on", async () => {
      let count = 0;
      const rig = new OneWayRig(name, { getToken: () => Promise.resolve(`t${++count}`) });
      rig.server.connected = { expires: 100_000, ping: 0 };
      await rig.connect();
      for (let passed = 0; passed < 180_000; passed += 15_000) {
        if (name === "poll") rig.http.last.end();
        await rig.clock.advance(15_000);
      }
      expect(rig.http.last.sent("connect")[0]?.token).toBe("t3");
      expect(rig.http.of("send")).toEqual([]);
      expect(rig.statuses).toEqual(["connecting", "connected"]);
      expect(rig.errors).toEqual([]);
    });

    // The new epoch was not taken in: later what had been handed over seemed to lie beyond the end of the old one, and was told as a loss.
    test("[RE-11] another epoch, in which the stream goes on, is the one of the next position", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      const found: number[] = [];
      const channel = rig.client.channel("a");
      channel.subscribe().on("message", ({ offset }) => found.push(offset ?? 0));
      await settle();
      rig.http.last.send(message("a", 1));
      await settle();
      rig.http.last.send({ type: "subscribed", channel: "a", epoch: "e2", offset: 1, recovered: true });
      rig.http.last.send(message("a", 2));
      await settle();
      rig.client.channel("b").subscribe();
      await settle();
      expect(rig.http.last.sent("subscribe")[0]).toMatchObject({ channel: "a", since: { epoch: "e2", offset: 2 } });
      expect(found).toEqual([1, 2]);
    });

    test("[RE-12] after a loss the next connection goes on at the positions, each handed over once", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      const found: number[] = [];
      rig.client
        .channel("a")
        .subscribe()
        .on("message", ({ offset }) => found.push(offset ?? 0));
      await settle();
      rig.http.last.send(message("a", 1));
      await settle();
      rig.http.accept = () => "refuse";
      if (name === "poll") rig.http.last.send("<html>");
      else rig.http.last.end();
      await settle();
      if (name === "poll") rig.client.disconnect();
      rig.http.accept = () => "open";
      rig.client.connect();
      await settle();
      expect(rig.http.last.sent("subscribe")).toMatchObject([{ channel: "a", since: { epoch: "e", offset: 1 } }]);
      rig.http.last.send(message("a", 1));
      rig.http.last.send(message("a", 2));
      await settle();
      expect(found).toEqual([1, 2]);
    });

    test("[BY-2] a goodbye ends it for good, or until later", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      rig.http.last.send({ type: "disconnect", code: 4200, reason: "bye", reconnect: true, after: 5000 });
      await settle();
      expect(rig.client.state).toMatchObject({ status: "waiting", code: 4200, reason: "bye" });
      await rig.clock.advance(5000);
      expect(rig.client.state.status).toBe("connected");
      rig.http.last.send({ type: "disconnect", code: 4102, reason: "kicked", reconnect: false });
      await rig.clock.advance(120_000);
      expect(rig.client.state).toMatchObject({ status: "closed", code: 4102 });
      expect(rig.http.open).toEqual([]);
    });

    test("[LI-5] silence within what was promised is none, more than twice that is the end", async () => {
      const rig = new OneWayRig(name);
      // A poll waits for longer than this server is silent elsewhere.
      rig.server.connected = { ping: name === "poll" ? 1000 : 25_000 };
      await rig.connect();
      await rig.clock.advance(49_999);
      expect(rig.statuses).toEqual(["connecting", "connected"]);
      if (name === "poll") rig.http.last.end();
      else rig.http.last.send({ type: "ping" });
      await rig.clock.advance(49_999);
      expect(rig.client.state.status).toBe("connected");
      await rig.clock.advance(2);
      expect(rig.client.state.status).not.toBe("connected");
      expect(rig.http.of("send")).toEqual([]);
    });

    test("[LI-4] whether the way still leads to the server is asked by a new request", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      rig.client.channel("a").subscribe();
      await settle();
      const before = rig.http.requests.length;
      rig.surroundings.tell("visible");
      await rig.clock.advance(3000);
      expect(rig.client.state.status).toBe("connected");
      expect(rig.http.requests.length).toBeGreaterThan(before);
      rig.http.accept = () => "ignore";
      rig.surroundings.tell("visible");
      await rig.clock.advance(3000);
      expect(rig.client.state.status).toBe("waiting");
    });

    test("[CO-12] a session that could not be resumed on the way is taken over", async () => {
      const rig = new OneWayRig(name);
      await rig.connect();
      rig.http.last.send({ type: "connected", session: "s9", ping: 25_000, resumed: false });
      await settle();
      expect(rig.client.state).toMatchObject({ status: "connected", session: "s9" });
      await rig.client.channel("a").publish("x");
      expect(rig.http.of("send").at(-1)?.query.get("session")).toBe("s9");
      rig.client.disconnect();
      expect(rig.clock.pending).toBe(0);
    });

    test("disconnect() at any moment leaves nothing open", async () => {
      for (let turns = 0; turns < 12; turns++) {
        const rig = new OneWayRig(name);
        rig.client.channel("a").subscribe();
        rig.client.connect();
        for (let turn = 0; turn < turns; turn++) await Promise.resolve();
        rig.client.disconnect();
        await settle();
        expect(rig.http.open).toEqual([]);
        expect(rig.clock.pending).toBe(0);
        expect(rig.client.state).toEqual({ status: "idle" });
      }
    });
  });
}

function asks({ id }: { readonly id?: number }): boolean {
  return id !== undefined;
}
