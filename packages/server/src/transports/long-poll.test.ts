/** What a poll is answered with where several things happen in one turn, on a clock that stands still. */
import { expect, test } from "bun:test";
import { decodeCursor, type Position, type ServerFrame } from "@longwire/protocol";
import type { Server } from "bun";
import { brokerWith, buildCore, type CoreHouse, type CoreHouseOptions, settle } from "../../test/support/core.ts";
import { Turn } from "../base/turn.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { longPollTransport } from "./long-poll.ts";

interface PollHouse extends CoreHouse {
  /** How the runtime's idle timers were set, in seconds; 0: off. */
  readonly timeouts: readonly number[];
  /** The answer is undefined while the poll waits. */
  poll(query: string, signal?: AbortSignal): { answer: PollAnswer | undefined };
}

interface PollAnswer {
  readonly status: number;
  readonly frames: readonly ServerFrame[];
  readonly positions: ReadonlyMap<string, Position> | undefined;
}

function pollHouse(options: CoreHouseOptions = {}): PollHouse {
  const house = buildCore(options);
  const timeouts: number[] = [];
  /** All that a poll wants of the runtime. */
  const runtime = {
    requestIP: () => null,
    timeout: (_request: Request, seconds: number) => void timeouts.push(seconds),
  } as unknown as Server<unknown>;
  const transport = longPollTransport({
    gateway: house.gateway,
    turn: new Turn(),
    clock: house.clock,
    limits: { channelsMax: 100, bodyBytesMax: 10_000, credentials: (_, handshake) => handshake },
    compression: false,
    waitSecondsMax: 3600,
    answerBytesMax: (options.settings?.queueBytesMax ?? 1024 * 1024) / 2,
    draining: () => false,
    viewer: undefined,
    forwarded: undefined,
    protocol: nativeProtocol(16),
  });
  return {
    ...house,
    timeouts,
    poll(query, signal) {
      const waiting: { answer: PollAnswer | undefined } = { answer: undefined };
      const request = new Request(`http://localhost/poll?${query}`, signal === undefined ? {} : { signal });
      void transport(request, runtime, query).then(async (response) => {
        const text = await response.text();
        const { cursor = "", frames = [] } = (text === "" ? {} : JSON.parse(text)) as {
          cursor?: string;
          frames?: ServerFrame[];
        };
        waiting.answer = { status: response.status, frames, positions: decodeCursor(cursor) };
      });
      return waiting;
    },
  };
}

async function sessionsOf(house: CoreHouse): Promise<number> {
  return (await house.control.stats()).sessions;
}

test("[LP-3] a poll waits 25 seconds unless it says otherwise, and is answered with nothing then", async () => {
  const house = pollHouse();
  const [usual, short] = [house.poll("channels=a&quiet=true"), house.poll("channels=a&quiet=true&wait=10")];
  await settle();
  house.clock.advance(9000);
  await settle();
  expect([usual.answer, short.answer]).toEqual([undefined, undefined]);
  house.clock.advance(2000);
  await settle();
  expect([usual.answer, short.answer?.frames]).toEqual([undefined, []]);
  house.clock.advance(15_000);
  await settle();
  expect(usual.answer?.frames).toEqual([]);
  expect(await sessionsOf(house)).toBe(0);
});

test("[LP-4] [LP-5] a publication and a goodbye in one turn: the cursor covers the publication", async () => {
  const house = pollHouse();
  const poll = house.poll(`channels=a&quiet=true&token=${encodeURIComponent('{"user":"bob"}')}`);
  await settle();
  const published = house.control.publish({ channel: "a", data: "1" });
  await house.control.disconnectUser("bob", { reconnect: true });
  await published;
  await settle();
  expect(poll.answer?.frames).toMatchObject([
    { type: "message", offset: 1 },
    { type: "disconnect", code: 4206 },
  ]);
  expect(poll.answer?.positions?.get("a")?.offset).toBe(1);
  expect(await sessionsOf(house)).toBe(0);
});

test("[LP-4] what comes between the end of a turn and the answer is in the answer, or not in the cursor", async () => {
  const house = pollHouse();
  const polls = Array.from({ length: 2500 }, () => house.poll("channels=a&quiet=true"));
  await settle();
  // They are answered in portions, and publishing goes on meanwhile.
  for (let n = 1; n <= 6; n++) {
    await house.control.publish({ channel: "a", data: String(n) });
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  await settle();
  for (const { answer } of polls) {
    const offsets = answer?.frames.map((frame) => (frame.type === "message" ? frame.offset : -1)) ?? [];
    expect(offsets).toEqual(Array.from({ length: offsets.length }, (_, n) => n + 1));
    expect(answer?.positions?.get("a")?.offset).toBe(offsets.length);
  }
  expect(await sessionsOf(house)).toBe(0);
});

// Asking for the cursor hands over what waits, and that alone was too much for an answer: it was given at once, with the cursor of before.
test("[LP-4] the wait ends in the very turn that brings more than half the budget: the cursor covers it", async () => {
  const house = pollHouse({ settings: { queueBytesMax: 64 * 1024 } });
  const poll = house.poll("channels=a&quiet=true&wait=10");
  await settle();
  const published = house.control.publish({ channel: "a", data: JSON.stringify("中".repeat(20_000)) });
  house.clock.advance(11_000);
  await published;
  await settle();
  expect(poll.answer?.frames).toMatchObject([{ type: "message", offset: 1 }]);
  expect(poll.answer?.positions?.get("a")?.offset).toBe(1);
});

test("[LP-1] while a backend's channel is being subscribed the answer waits a moment for its position, and no longer", async () => {
  const { promise: subscribed, resolve: subscribe } = Promise.withResolvers<void>();
  const house = pollHouse({
    wrap: {
      sink: (hub) => hub,
      broker: (inner) =>
        brokerWith(inner, {
          async subscribe(channel) {
            if (channel === "slow") await subscribed;
            return inner.subscribe(channel);
          },
        }),
    },
  });
  const first = house.poll("channels=a&wait=0");
  await settle();
  const position = first.answer?.positions?.get("a");
  const cursor = Buffer.from(`a=${position?.epoch}.0`).toString("base64url");
  const give = async (): Promise<{ answer: PollAnswer | undefined }> => {
    const poll = house.poll(`channels=a&since=${cursor}&token=${encodeURIComponent('{"user":"bob"}')}`);
    await settle();
    void house.control.subscribeUser("bob", "slow");
    await settle();
    return poll;
  };
  const stuck = await give();
  await house.publish("a", 1);
  expect(stuck.answer).toBeUndefined();
  house.clock.advance(500);
  await settle();
  // Nobody knows how long it takes: it may come twice then, but it comes.
  expect(stuck.answer?.frames).toMatchObject([{ type: "message", offset: 1 }]);
  expect(stuck.answer?.positions?.get("a")?.offset).toBe(0);
  subscribe();
  await settle();
});

// Without a cursor the next poll would begin with what comes then, and nobody would know of what came in between.
test("[LP-1] the first poll too waits a moment for a position that a backend's channel has not got yet", async () => {
  const { promise: subscribed, resolve: subscribe } = Promise.withResolvers<void>();
  const house: PollHouse = pollHouse({
    wrap: {
      sink: (hub) => hub,
      broker: (inner) =>
        brokerWith(inner, {
          async subscribe(channel) {
            // The user is there, and the poll not yet answered.
            if (channel === "a") void house.control.subscribeUser("bob", "slow");
            if (channel === "slow") await subscribed;
            return inner.subscribe(channel);
          },
        }),
    },
  });
  const poll = house.poll(`channels=a&token=bob`);
  await settle();
  expect(poll.answer).toBeUndefined();
  subscribe();
  await settle();
  expect([...(poll.answer?.positions?.keys() ?? [])].toSorted()).toEqual(["@bob", "a", "slow"]);
  const empty = house.poll("token=%7B%7D&wait=0");
  await settle();
  expect(empty.answer?.positions).toBeUndefined();
});

test("[OW-8] a client that goes away ends its session: before the opening is done, while it waits, when it is being answered", async () => {
  const house = pollHouse();
  for (const turns of [0, 1, 20]) {
    const client = new AbortController();
    const poll = house.poll("channels=a,b,c&quiet=true", client.signal);
    for (let n = 0; n < turns; n++) await new Promise<void>((resolve) => setImmediate(resolve));
    client.abort();
    await settle();
    expect([await sessionsOf(house), poll.answer?.status]).toEqual([0, 499]);
  }
  const client = new AbortController();
  house.poll("channels=a&quiet=true", client.signal);
  await settle();
  void house.control.publish({ channel: "a", data: "1" });
  client.abort();
  await settle();
  expect(await house.control.stats()).toMatchObject({ sessions: 0, subscriptions: 0, channels: 0 });
  expect(house.errors).toEqual([]);
});

// Left without a timer, the connection of a client that vanishes between two polls stays open for ever.
test("[LP-3] the runtime's timer ends an idle connection after the answer, however long the poll was allowed to wait", async () => {
  const house = pollHouse();
  const poll = house.poll("channels=a&quiet=true&wait=60");
  await settle();
  expect(house.timeouts).toEqual([120]);
  const long = house.poll("channels=a&quiet=true&wait=3600");
  await settle();
  expect(house.timeouts).toEqual([120, 0]);
  await house.publish("a", 1);
  expect([poll.answer?.status, long.answer?.status, house.timeouts]).toEqual([200, 200, [120, 0, 60]]);
});
