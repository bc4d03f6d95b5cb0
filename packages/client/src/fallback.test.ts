/** Which transport is taken, when, and what the application sees of it. */
import { expect, test } from "bun:test";
import { settle } from "../test/support/fake-clock.ts";
import { FakeHttp } from "../test/support/fake-http.ts";
import { FakeServer, message } from "../test/support/fake-server.ts";
import { FakeStorage } from "../test/support/fake-surroundings.ts";
import { Rig } from "../test/support/rig.ts";
import type { ClientOptions } from "./options.ts";
import { TRANSPORT_NAMES } from "./transports/transport.ts";

class FallbackRig extends Rig {
  readonly http: FakeHttp;

  constructor(options: ClientOptions = {}, server: FakeServer = new FakeServer()) {
    const http = new FakeHttp(server);
    super({ transports: TRANSPORT_NAMES, ...http.means, ...options }, server);
    this.http = http;
    server.answers.connect = ({ id, session }) => ({
      type: "connected",
      ...(id !== undefined && { id }),
      session: session ?? "s1",
      ping: 0,
      ...server.connected,
    });
  }

  get transport(): string | undefined {
    const { state } = this.client;
    return state.status === "connected" ? state.transport : undefined;
  }

  /** Everything that is tried from now on, in order. */
  tried(): string[] {
    const tried: string[] = [];
    const before = this.http.accept;
    this.http.accept = (request) => {
      tried.push(request.endpoint);
      return before(request);
    };
    return tried;
  }
}

test("a WebSocket that fails makes the client take the next transport at once", async () => {
  const rig = new FallbackRig();
  rig.server.accept = "refuse";
  await rig.connect();
  expect(rig.transport).toBe("stream");
  expect(rig.statuses).toEqual(["connecting", "connected"]);
});

test("a WebSocket that does not open, or opens and says nothing, is given up after four seconds", async () => {
  for (const accept of ["ignore", "open"] as const) {
    const rig = new FallbackRig();
    rig.server.accept = accept;
    const answer = rig.server.answers.connect;
    rig.server.answers.connect = () => undefined;
    await rig.connect();
    await rig.clock.advance(3999);
    expect(rig.http.requests).toEqual([]);
    rig.server.answers.connect = answer as never;
    await rig.clock.advance(1);
    expect(rig.transport).toBe("stream");
    expect(rig.server.last.closed).toBe(true);
  }
});

test("what lets nothing pass, or answers with a page of its own, is stepped over down to the poll", async () => {
  for (const verdict of ["refuse", "page", { status: 403, code: 0 }, { status: 502, code: 201 }] as const) {
    const rig = new FallbackRig();
    rig.server.accept = "refuse";
    rig.http.accept = ({ endpoint }) => (endpoint === "poll" || endpoint === "send" ? "open" : verdict);
    await rig.connect();
    expect(rig.transport).toBe("poll");
    expect(rig.errors).toEqual([]);
  }
});

test("a platform without the means leaves a transport out, and without any says so", async () => {
  const rig = new FallbackRig({ EventSource: undefined } as never);
  rig.server.accept = "refuse";
  rig.http.accept = ({ endpoint }) => (endpoint === "stream" ? "refuse" : "open");
  await rig.connect();
  expect(rig.transport).toBe("poll");
  expect(() => new FallbackRig({ transports: ["sse"], EventSource: undefined } as never)).toThrow(TypeError);
});

test("a goodbye is no blockade: the server spoke, and what it said holds", async () => {
  const rig = new FallbackRig();
  rig.server.answers.connect = () => ({ type: "disconnect", code: 4103, reason: "no", reconnect: false });
  await rig.connect();
  expect(rig.client.state).toEqual({ status: "closed", code: 4103, reason: "no" });
  expect(rig.http.requests).toEqual([]);

  const late = new FallbackRig();
  late.server.accept = "refuse";
  late.http.accept = () => ({ status: 503, code: 4205 });
  await late.connect();
  expect(late.client.state).toMatchObject({ status: "waiting", code: 4205 });
  expect(late.http.requests.length).toBe(1);
});

test("[BY-3] a refusal that says when to come back is believed on one-way transports too", async () => {
  const rig = new FallbackRig({ transports: ["poll"] });
  rig.http.accept = () => ({ status: 503, code: 4205, after: 60_000 });
  await rig.connect();
  await rig.clock.advance(59_000);
  expect(rig.http.requests.length).toBe(1);
  rig.http.accept = () => "open";
  await rig.clock.advance(31_000);
  expect(rig.transport).toBe("poll");
});

test("a new token is used on the transport that asked for it", async () => {
  let count = 0;
  const rig = new FallbackRig({ getToken: () => Promise.resolve(`t${++count}`) });
  rig.server.accept = "refuse";
  rig.http.accept = ({ commands: [connect] }) =>
    (connect as { token?: string }).token === "t1" ? { status: 401, code: 4301 } : "open";
  await rig.connect();
  expect(rig.transport).toBe("stream");
  expect(rig.server.connections.length).toBe(1);
});

test("a server that is down is no blockade: nothing is remembered, and every attempt begins at the top", async () => {
  const session = new FakeStorage();
  const rig = new FallbackRig({ storage: { session } });
  rig.server.accept = "refuse";
  rig.http.accept = () => "refuse";
  const tried = rig.tried();
  await rig.connect();
  expect(rig.client.state.status).toBe("waiting");
  expect(tried).toEqual(["stream", "sse", "poll"]);
  expect(session.items.size).toBe(0);
  rig.server.accept = "open";
  await rig.clock.advance(1000);
  expect(rig.transport).toBe("websocket");
});

test("what worked is where the next connection begins, and the next page; what is left is tried too", async () => {
  const session = new FakeStorage();
  const rig = new FallbackRig({ storage: { session } });
  rig.server.accept = "refuse";
  rig.http.accept = ({ endpoint }) => (endpoint === "stream" ? "refuse" : "open");
  await rig.connect();
  expect(rig.transport).toBe("sse");
  const tried = rig.tried();
  rig.http.last.end();
  await rig.clock.advance(1000);
  expect(rig.transport).toBe("sse");
  expect(tried).toEqual(["sse"]);
  expect(rig.server.connections.length).toBe(1);

  const next = new FallbackRig({ storage: { session } });
  next.http.accept = () => "refuse";
  await next.connect();
  expect(next.transport).toBe("websocket");
  expect(next.http.requests.map(({ endpoint }) => endpoint)).toEqual(["sse", "poll"]);
  const last = await new FallbackRig({ storage: { session } }).connect();
  expect(last.http.requests).toEqual([]);
});

test("from a lower transport the client looks for a higher one, ever more rarely, and moves up", async () => {
  const rig = new FallbackRig();
  rig.server.accept = "refuse";
  await rig.connect();
  const looks: number[] = [];
  for (let seconds = 0; seconds < 1000; seconds++) {
    const before = rig.server.connections.length;
    await rig.clock.advance(1000);
    if (rig.server.connections.length > before) looks.push(seconds);
  }
  expect(looks).toEqual([29, 89, 209, 449, 929]);
  expect(rig.statuses).toEqual(["connecting", "connected"]);
  rig.server.accept = "open";
  await rig.clock.advance(600_000);
  expect(rig.transport).toBe("websocket");
  expect(rig.statuses).toEqual(["connecting", "connected", "connecting", "connected"]);
  expect(rig.http.open).toEqual([]);
  expect(rig.server.last.sent("connect")[0]?.session).toBe("s1");
});

test("a higher transport counts only once the server was heard on it", async () => {
  const rig = new FallbackRig();
  rig.server.accept = "refuse";
  rig.http.accept = ({ endpoint }) => (endpoint === "poll" ? "open" : "refuse");
  await rig.connect();
  rig.server.accept = "open";
  rig.server.answers.ping = () => undefined;
  rig.http.accept = ({ endpoint }) => (endpoint === "stream" ? "ignore" : "open");
  const tried = rig.tried();
  const poll = setInterval(() => rig.http.last.endpoint === "poll" && rig.http.last.end(), 0);
  await rig.clock.advance(30_000);
  expect(rig.server.last.sent("ping").length).toBe(1);
  expect(rig.transport).toBe("poll");
  await rig.clock.advance(4000);
  expect(rig.server.last.closed).toBe(true);
  expect(tried.includes("stream")).toBe(true);
  expect(rig.transport).toBe("poll");
  await rig.clock.advance(4000);
  clearInterval(poll);
  expect(rig.transport).toBe("sse");
});

test("[P3] over a change of transport each position is handed over once, in order", async () => {
  const rig = new FallbackRig();
  rig.server.accept = "refuse";
  const found: number[] = [];
  rig.client
    .channel("a")
    .subscribe()
    .on("message", ({ offset }) => found.push(offset ?? 0));
  await rig.connect();
  rig.http.last.send(message("a", 1));
  rig.http.last.send(message("a", 2));
  await settle();
  rig.server.accept = "open";
  await rig.clock.advance(30_000);
  expect(rig.transport).toBe("websocket");
  expect(rig.server.last.sent("subscribe")[0]?.since).toEqual({ epoch: "e", offset: 2 });
  rig.server.last.send(message("a", 2));
  rig.server.last.send(message("a", 3));
  rig.server.accept = "refuse";
  rig.server.last.close(1006, "");
  await rig.clock.advance(2000);
  expect(rig.transport).toBe("stream");
  expect(rig.http.last.sent("subscribe")[0]?.since).toEqual({ epoch: "e", offset: 3 });
  rig.http.last.send(message("a", 4));
  await settle();
  expect(found).toEqual([1, 2, 3, 4]);
});

test("disconnect() while a higher transport is looked for leaves nothing open", async () => {
  const rig = new FallbackRig();
  rig.server.accept = "refuse";
  await rig.connect();
  rig.server.accept = "ignore";
  await rig.clock.advance(31_000);
  expect(rig.server.connections.length).toBe(2);
  rig.client.disconnect();
  expect(rig.server.last.closed).toBe(true);
  expect(rig.http.open).toEqual([]);
  expect(rig.clock.pending).toBe(0);
});
