/**
 * The SDK where each request reaches another node than the one before, as behind a balancer that knows no sessions: two nodes on one Redis, and no connection is
 * used twice.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Client, type ClientOptions } from "@longwire/client";
import { EventSource } from "eventsource";
import { redisFlags, startServer, type TestServer } from "longwire/test/server";
import { until } from "./support/wait.ts";

const NAMES = ["stream", "sse", "poll"] as const;

let nodes: readonly TestServer[] = [];
const clients: Client[] = [];
let requests = 0;

beforeAll(async () => {
  const own = { engine: "redis", "channels-publish": "signed-in", "channels-leave-delay-ms": "2000" };
  const shared = await redisFlags(own);
  nodes = [await startServer({ ...own, ...shared }), await startServer({ ...own, ...shared })];
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});
afterAll(async () => {
  for (const node of nodes) await node.stop();
});

function nodeAt(turn: number): TestServer {
  const node = nodes[turn % nodes.length];
  if (node === undefined) throw new Error("there are no nodes");
  return node;
}

/** The same request to the next node. */
function turned(url: string | URL): string {
  const { pathname, search } = new URL(url);
  return `${nodeAt(requests++).url}${pathname}${search}`;
}

class TurningEventSource extends EventSource {
  constructor(url: string | URL) {
    super(turned(url));
  }
}

const turningFetch = (url: string, options?: RequestInit): Promise<Response> =>
  fetch(turned(url), { ...options, keepalive: false });

async function open(name: (typeof NAMES)[number], options: ClientOptions = {}): Promise<Client> {
  const means = { fetch: turningFetch as NonNullable<ClientOptions["fetch"]>, EventSource: TurningEventSource };
  const client = new Client(nodeAt(0).url, { transports: [name], ...means, ...options });
  clients.push(client);
  client.connect();
  await client.ready();
  return client;
}

function sessionOf({ state }: Client): string {
  if (state.status !== "connected") throw new Error(`it is ${state.status}`);
  return state.session;
}

/** What `POST /api/sessions/ID/user` says at the next node; a session that polls is away for a moment between two polls. */
async function bind(session: string, user: string | null): Promise<void> {
  await until("the user is bound", async () => {
    const { status } = await nodeAt(requests++).api("POST", `/api/sessions/${session}/user`, { user });
    return status === 200 || status === 204;
  });
}

let lastRoom = 0;
const newRoom = (): string => `room-${++lastRoom}`;
const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

describe.each(NAMES)("%s", (name) => {
  test("[P5] [NB-3] what is said and heard is once and in order, by one session", async () => {
    const client = await open(name, { token: await nodeAt(0).token({ sub: `bob-${name}` }) });
    const [own, others] = [newRoom(), newRoom()];
    const found = new Map<string, number[]>([own, others].map((room) => [room, []]));
    const rooms = [own, others].map((room) => {
      const channel = client.channel<number>(room, { presence: true }).subscribe();
      return channel.on("message", ({ data }) => found.get(room)?.push(data)) && channel;
    });
    await Promise.all(rooms.map((room) => room.ready()));
    const session = sessionOf(client);
    for (const count of upTo(30)) {
      await Promise.all([rooms[0]?.publish(count), nodeAt(count).publish(others, count)]);
    }
    await until("everything", () => [...found.values()].every(({ length }) => length >= 30));
    for (const room of [own, others]) expect(found.get(room)).toEqual(upTo(30));
    expect(sessionOf(client)).toBe(session);
    for (const node of nodes) {
      const { body } = await node.api("GET", `/api/channels/${own}/presence`);
      expect(body).toMatchObject({ members: [{ session, user: `bob-${name}` }], sessions: 1 });
    }
  });

  test("[NB-3] [SD-3] whom the application binds it to is who speaks, on whichever node, and nobody any more when it says so", async () => {
    const client = await open(name);
    const room = client.channel<number>(newRoom()).subscribe();
    const users: unknown[] = [];
    room.on("message", ({ user }) => users.push(user));
    await room.ready();
    const refusal = (): Promise<unknown> => room.publish(0).catch((error: unknown) => error);
    for (const user of ["ann", "eve"]) {
      for (let turn = 0; turn < 2; turn++) expect(await refusal()).toMatchObject({ code: 302 });
      await bind(sessionOf(client), user);
      for (let turn = 0; turn < 4; turn++) await room.publish(turn);
      await until("all of them", () => users.length === 4);
      expect(users.splice(0)).toEqual([user, user, user, user]);
      await bind(sessionOf(client), null);
    }
    for (let turn = 0; turn < 2; turn++) expect(await refusal()).toMatchObject({ code: 302 });
  });

  test("[NB-4] who is disconnected through one node is gone from the other", async () => {
    for (let turn = 0; turn < 2; turn++) {
      const user = `eve-${name}-${turn}`;
      const client = await open(name, { token: await nodeAt(0).token({ sub: user }) });
      await until("the end", async () => {
        await nodeAt(turn).api("POST", `/api/users/${user}/disconnect`, {});
        return client.state.status === "closed";
      });
      expect(client.state).toMatchObject({ status: "closed", code: 4102 });
    }
  });
});
