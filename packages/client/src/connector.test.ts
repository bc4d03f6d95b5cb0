import { expect, test } from "bun:test";
import { settle } from "../test/support/fake-clock.ts";
import { Rig } from "../test/support/rig.ts";

/** Milliseconds until each of the next connections is opened, while none succeeds. */
async function waits(rig: Rig, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let index = 0; index < count; index++) {
    const { state } = rig.client;
    if (state.status !== "waiting") throw new Error(state.status);
    const ms = state.retryAt - rig.clock.now();
    found.push(ms);
    const before = rig.server.connections.length;
    await rig.clock.advance(ms - 1);
    expect(rig.server.connections.length).toBe(before);
    await rig.clock.advance(1);
    expect(rig.server.connections.length).toBe(before + 1);
  }
  return found;
}

test("idle until asked, then connecting, then connected with session and user", async () => {
  const rig = new Rig({ token: "t", client: "phone" });
  rig.server.connected = { user: "bob" };
  expect(rig.client.state).toEqual({ status: "idle" });
  await rig.connect();
  expect(rig.states).toEqual([
    { status: "connecting", attempt: 0 },
    { status: "connected", session: "s1", user: "bob", resumed: false, transport: "websocket" },
  ]);
  expect(rig.server.last.received).toEqual([{ type: "connect", token: "t", client: "phone", ping: true, id: 1e15 }]);
});

test("a second connect opens no second connection", async () => {
  const rig = new Rig();
  rig.client.connect().connect();
  await rig.connect();
  expect(rig.server.connections.length).toBe(1);
});

test("backoff without jitter: 1 s doubling to 30 s", async () => {
  const rig = new Rig();
  rig.server.accept = "refuse";
  await rig.connect();
  expect(await waits(rig, 7)).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test("backoff with full jitter: a random part of the same", async () => {
  const parts = [0.25, 0.5, 0, 0.75];
  let index = 0;
  const rig = new Rig({ jitter: "full", random: () => parts[index++ % parts.length] ?? 0, backoff: { factor: 3 } });
  index = 0;
  rig.server.accept = "refuse";
  await rig.connect();
  const state = rig.client.state;
  expect(state.status === "waiting" && state.retryAt - rig.clock.now()).toBe(250);
  await rig.clock.advance(250);
  const next = rig.client.state;
  expect(next.status === "waiting" && next.retryAt - rig.clock.now()).toBe(1500);
});

test("resetOn stable: a connection that breaks at once does not begin the backoff anew, one that holds does", async () => {
  const rig = await new Rig().connect();
  rig.server.last.close(1006, "");
  expect(await waits(rig, 1)).toEqual([1000]);
  rig.server.last.close(1006, "");
  expect(await waits(rig, 1)).toEqual([2000]);
  await rig.clock.advance(5000);
  rig.server.last.close(1006, "");
  expect(await waits(rig, 1)).toEqual([1000]);
});

test("resetOn open: every connection begins the backoff anew", async () => {
  const rig = await new Rig({ resetOn: "open" }).connect();
  rig.server.last.close(1006, "");
  expect(await waits(rig, 1)).toEqual([1000]);
  rig.server.last.close(1006, "");
  expect(await waits(rig, 1)).toEqual([1000]);
});

test("after: a goodbye says not to come back before, and the page cannot hurry it", async () => {
  const rig = await new Rig().connect();
  rig.server.last.send({ type: "disconnect", code: 4200, reason: "going away", reconnect: true, after: 7000 });
  expect(rig.client.state).toMatchObject({ status: "waiting", code: 4200, reason: "going away" });
  rig.surroundings.tell("visible");
  expect(await waits(rig, 1)).toEqual([7000]);
});

test("connect() while waiting tries at once", async () => {
  const rig = await new Rig().connect();
  rig.server.last.close(1006, "");
  await rig.connect();
  expect(rig.statuses).toEqual(["connecting", "connected", "waiting", "connecting", "connected"]);
});

test("a final goodbye closes: by frame, by close code, by reconnect: false; connect() tries all the same", async () => {
  const ends: ((rig: Rig) => void)[] = [
    (rig) => rig.server.last.send({ type: "disconnect", code: 4102, reason: "kicked", reconnect: false }),
    (rig) => rig.server.last.close(4102, "kicked"),
    (rig) => rig.server.last.send({ type: "disconnect", code: 4299, reason: "kicked", reconnect: false }),
  ];
  for (const end of ends) {
    const rig = await new Rig().connect();
    end(rig);
    expect(rig.client.state).toMatchObject({ status: "closed", reason: "kicked" });
    await rig.clock.advance(120_000);
    expect(rig.server.connections.length).toBe(1);
    await rig.connect();
    expect(rig.client.state.status).toBe("connected");
  }
});

test("refresh: a bad token is renewed at once, and with backoff when the new one is bad too", async () => {
  let count = 0;
  const rig = new Rig({ token: "old", getToken: () => Promise.resolve(`new${++count}`) });
  rig.server.answers.connect = ({ token }) =>
    token === "new2"
      ? { type: "connected", session: "s", ping: 25_000 }
      : { type: "disconnect", code: 4301, reason: "expired", reconnect: true };
  await rig.connect();
  expect(rig.server.connections.map((connection) => connection.sent("connect")[0]?.token)).toEqual(["old", "new1"]);
  expect(rig.client.state.status).toBe("waiting");
  await rig.clock.advance(2000);
  expect(rig.server.last.sent("connect")[0]?.token).toBe("new2");
  expect(rig.client.state.status).toBe("connected");
});

test("refresh without getToken closes", async () => {
  const rig = await new Rig({ token: "old" }).connect();
  rig.server.last.close(4300, "bad token");
  expect(rig.client.state).toEqual({ status: "closed", code: 4300, reason: "bad token" });
});

test("an error in answer to connect counts as a goodbye", async () => {
  const rig = new Rig();
  rig.server.answers.connect = ({ id }) => ({ type: "error", id, code: 302, message: "a token is required" });
  await rig.connect();
  expect(rig.client.state).toEqual({ status: "closed", code: 302, reason: "a token is required" });
});

test("getToken is asked first when there is no token; its failure is reported and tried again", async () => {
  let fail = true;
  const rig = new Rig({ getToken: () => (fail ? Promise.reject(new Error("no backend")) : Promise.resolve("t")) });
  await rig.connect();
  expect(rig.server.connections.length).toBe(0);
  expect(rig.errors).toEqual([new Error("no backend")]);
  fail = false;
  await rig.clock.advance(1000);
  expect(rig.server.last.sent("connect")[0]?.token).toBe("t");
});

test("a getToken that never answers, and a server that never greets, end as a failed attempt", async () => {
  const rig = new Rig({ getToken: () => new Promise(() => undefined) });
  await rig.connect();
  await rig.clock.advance(10_000);
  expect(rig.client.state.status).toBe("waiting");

  const silent = new Rig();
  silent.server.accept = "ignore";
  await silent.connect();
  await silent.clock.advance(10_000);
  expect(silent.client.state).toMatchObject({ status: "waiting", reason: "no answer in time" });
  expect(silent.server.last.closed).toBe(true);
});

test("a token is renewed before it expires, and the session goes on", async () => {
  let count = 0;
  const rig = new Rig({ token: "t0", getToken: () => Promise.resolve(`t${++count}`) });
  rig.server.connected = { expires: 100_000 };
  rig.server.answers.refresh = ({ id }) => ({ type: "refreshed", id, expires: 100_000 });
  rig.server.answers.ping = undefined as never;
  await rig.connect();
  const beat = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 10_000) {
      rig.server.last.send({ type: "ping" });
      await rig.clock.advance(10_000);
    }
  };
  await beat(80_000);
  expect(rig.server.last.sent("refresh")).toEqual([]);
  await beat(110_000);
  expect(rig.server.last.sent("refresh").map(({ token }) => token)).toEqual(["t1", "t2"]);
  expect(rig.server.connections.length).toBe(1);
});

test("disconnect() forgets what getToken gave: the next connect() may be somebody else's", async () => {
  const users = ["ann", "bob"];
  const rig = await new Rig({ getToken: () => Promise.resolve(users.shift() ?? "") }).connect();
  await rig.cut();
  rig.client.disconnect();
  await rig.connect();
  const tokens = rig.server.connections.map((connection) => connection.sent("connect")[0]?.token);
  expect(tokens).toEqual(["ann", "ann", "bob"]);

  const fixed = await new Rig({ token: "t" }).connect();
  fixed.client.disconnect();
  await fixed.connect();
  expect(fixed.server.last.sent("connect")[0]?.token).toBe("t");
});

test("a token asked for before disconnect() is not used after it, wherever it was asked for", async () => {
  const given: ((token: string) => void)[] = [];
  const getToken = () => new Promise<string>((resolve) => void given.push(resolve));
  const rig = new Rig({ getToken });
  rig.server.connected = { expires: 100_000, ping: 0 };
  rig.client.connect();
  rig.client.disconnect();
  await rig.connect();
  given[1]?.("bob");
  given[0]?.("ann");
  await settle();
  expect(rig.server.last.sent("connect")[0]?.token).toBe("bob");
  // A renewal that is under way.
  await rig.clock.advance(90_000);
  rig.client.disconnect();
  await rig.connect();
  given[3]?.("eve");
  await settle();
  given[2]?.("bob again");
  await settle();
  expect(rig.client.state.status).toBe("connected");
  expect(rig.server.last.received).toMatchObject([{ type: "connect", token: "eve" }]);
  await rig.cut();
  expect(rig.server.last.sent("connect")[0]?.token).toBe("eve");
  expect(rig.errors).toEqual([]);
});

test("disconnect() forgets what a channel's getToken gave as well", async () => {
  let asked = 0;
  const rig = await new Rig().connect();
  rig.client.channel("a", { getToken: () => Promise.resolve(`t${++asked}`) }).subscribe();
  rig.client.channel("b", { token: "fixed" }).subscribe();
  await settle();
  rig.client.disconnect();
  await rig.connect();
  expect(rig.server.last.sent("subscribe")).toMatchObject([{ token: "fixed" }, { token: "t2" }]);
});

test("a ping is answered, and silence of twice the interval ends the connection", async () => {
  const rig = await new Rig().connect();
  rig.server.last.send({ type: "ping" });
  expect(rig.server.last.sent("pong").length).toBe(1);
  await rig.clock.advance(49_000);
  rig.server.last.send({ type: "ping" });
  await rig.clock.advance(49_999);
  expect(rig.client.state.status).toBe("connected");
  const [first] = rig.server.connections;
  await rig.clock.advance(1);
  expect(rig.client.state.status).toBe("waiting");
  expect(first?.closed).toBe(true);
});

test("a server that does not ping is not called dead for its silence", async () => {
  const rig = new Rig();
  rig.server.connected = { ping: 0 };
  await rig.connect();
  await rig.clock.advance(3_600_000);
  expect(rig.client.state.status).toBe("connected");
});

test("a check that comes late, as in a hidden tab, asks before it gives up", async () => {
  const rig = await new Rig().connect();
  rig.clock.jump(120_000);
  await rig.clock.advance(0);
  expect(rig.client.state.status).toBe("connected");
  expect(rig.server.last.sent("ping").length).toBe(1);

  const dead = new Rig();
  dead.server.answers.ping = () => undefined;
  await dead.connect();
  dead.clock.jump(120_000);
  await dead.clock.advance(3000);
  expect(dead.client.state.status).toBe("waiting");
});

test("a page that comes to the front asks whether the connection lives, and replaces a dead one", async () => {
  const rig = await new Rig().connect();
  rig.surroundings.tell("visible");
  await rig.clock.advance(3000);
  expect(rig.client.state.status).toBe("connected");
  rig.server.answers.ping = () => undefined;
  rig.surroundings.tell("show");
  await rig.clock.advance(3000);
  expect(rig.client.state.status).toBe("waiting");
  rig.surroundings.tell("visible");
  await settle();
  expect(rig.client.state.status).toBe("connected");
});

test("without a network only the longest wait goes on; with it, the next attempt comes at once", async () => {
  const rig = await new Rig().connect();
  rig.surroundings.tell("offline");
  expect(rig.client.state.status).toBe("connected");
  rig.server.last.close(1006, "");
  expect(rig.client.state).toMatchObject({ status: "waiting", retryAt: rig.clock.now() + 30_000 });
  await rig.clock.advance(29_000);
  expect(rig.server.connections.length).toBe(1);
  rig.surroundings.tell("online");
  await settle();
  expect(rig.client.state.status).toBe("connected");

  rig.server.last.close(1006, "");
  rig.surroundings.tell("offline");
  expect(rig.client.state).toMatchObject({ reason: "offline", retryAt: rig.clock.now() + 30_000 });
});

test("disconnect() ends it for good and leaves no timer and no listener behind", async () => {
  const rig = new Rig({ token: "t", getToken: () => Promise.resolve("t") });
  rig.server.connected = { expires: 60_000 };
  await rig.connect();
  rig.client.disconnect();
  expect(rig.client.state).toEqual({ status: "idle" });
  expect(rig.server.last.closed).toBe(true);
  expect(rig.clock.pending).toBe(0);
  expect(rig.surroundings.listeners).toBe(0);
  rig.server.last.close(1006, "");
  expect(rig.client.state).toEqual({ status: "idle" });
});

test("disconnect() from within a state handler holds", async () => {
  for (const status of ["connecting", "connected", "waiting"]) {
    const rig = new Rig();
    rig.client.on("state", (state) => state.status === status && rig.client.disconnect());
    await rig.connect();
    rig.server.connections.at(-1)?.close(1006, "");
    await rig.clock.advance(60_000);
    expect(rig.client.state).toEqual({ status: "idle" });
    if (status !== "waiting") expect(rig.server.connections.every(({ closed }) => closed)).toBe(true);
    expect(rig.clock.pending).toBe(0);
  }
});

test("what is no frame is reported and skipped; a frame of an unknown type is skipped", async () => {
  const rig = await new Rig().connect();
  for (const text of ["<html>", "[]", "null", '{"a":1}']) rig.server.last.send(text);
  expect(rig.errors.length).toBe(4);
  rig.server.last.send('{"type":"news","channel":"a"}');
  rig.server.last.send('{"type":"news"}');
  expect(rig.errors.length).toBe(4);
  expect(rig.client.state.status).toBe("connected");
});

test("ready() resolves with the connection and fails when there will be none", async () => {
  const rig = new Rig();
  const ready = rig.client.ready();
  await rig.connect();
  await ready;
  await rig.client.ready();

  const closed = new Rig();
  closed.server.answers.connect = () => ({ type: "disconnect", code: 4103, reason: "no", reconnect: false });
  const failing = closed.client.ready().catch((error: unknown) => error);
  closed.client.connect();
  expect(await failing).toMatchObject({ reason: "disconnected", code: 4103 });
});

function UnusableSocket(): never {
  throw new SyntaxError("bad url");
}

test("a url that cannot be used is a failed attempt, not a crash", async () => {
  const rig = new Rig({ WebSocket: UnusableSocket as never });
  await rig.connect();
  expect(rig.client.state.status).toBe("waiting");
  expect(rig.errors).toEqual([new SyntaxError("bad url")]);
});
