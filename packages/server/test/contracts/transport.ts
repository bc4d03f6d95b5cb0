/**
 * What every transport of the native protocol promises, whatever it is made of. Call it from a test file, once for each; what a transport cannot
 * say stands in its `can`, and each test that leaves it out says why.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type Json, remedyOf } from "@longwire/protocol";
import type { Peer, Wish, Wishes } from "../support/peer/peer.ts";
import { type Target, type Transport, WEBSOCKET } from "../support/peer/transports.ts";
import { type Flags, startServer, type TestServer } from "../support/server.ts";

const QUEUE_BYTES_MAX = 128 * 1024;

const OWN_FLAGS: Flags = {
  "channels-publish": "everybody",
  "channels-history-size": "5000",
  "channels-leave-delay-ms": "300",
  "resume-seconds": "60",
  namespaces: JSON.stringify({ short: { historySize: 3 }, shut: { subscribe: "nobody" } }),
};

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1);

export const targetOf = ({ url, tcpPorts, ca }: Pick<TestServer, "url" | "tcpPorts" | "ca">): Target => ({
  url,
  tcpPort: tcpPorts[0] ?? 0,
  ca,
});

/** Publishes in bursts, each in one request; data are the numbers of the list. */
export async function publishAll(
  server: Pick<TestServer, "api">,
  channel: string,
  list: readonly Json[],
  burst = 100,
): Promise<void> {
  for (let at = 0; at < list.length; at += burst) {
    const publications = list.slice(at, at + burst).map((data) => ({ channel, data }));
    const { status } = await server.api("POST", "/api/batch", { publications });
    expect(status).toBe(200);
  }
}

/** Whether a session of this id is connected. */
export async function isConnected(server: Pick<TestServer, "api">, session: string | undefined): Promise<boolean> {
  return (await server.api("GET", `/api/sessions/${session}`)).status === 200;
}

export async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 1000; round++) {
    if (await isTrue()) return;
    await Bun.sleep(10);
  }
  throw new Error(`in vain: ${what}`);
}

const on = (...channels: string[]): Wish[] => channels.map((channel) => ({ channel }));

/** What deflates well would take for ever to fill a gzipped stream. */
const noise = (): string => randomBytes(11_250).toString("base64");

/** `flags`: of all servers, beside what the tests themselves need. */
export function transportContract(transport: Transport, flags: Flags = {}): void {
  const FLAGS: Flags = { ...OWN_FLAGS, ...flags };
  const { can } = transport;
  const peers: Peer[] = [];

  const openOn = async (server: TestServer, wishes: Wishes, by = transport): Promise<Peer> => {
    const peer = await by.open(targetOf(server), wishes);
    peers.push(peer);
    return peer;
  };
  const dropAll = (): void => {
    for (const peer of peers.splice(0)) peer.drop();
  };

  describe(`transport contract: ${transport.name}`, () => {
    let server: TestServer;
    let channelCount = 0;

    beforeAll(async () => {
      server = await startServer(FLAGS);
    });
    afterEach(dropAll);
    afterAll(() => server.stop());

    const open = (wishes: Wishes, by = transport): Promise<Peer> => openOn(server, wishes, by);
    const fresh = (namespace = ""): string => `${namespace}c${++channelCount}`;
    const mayBeRefused = transport.name.startsWith("poll");
    /** A poll that its goodbye met while it was being opened is refused with it. */
    const wasRefused = ({ refused }: Peer): boolean => mayBeRefused && refused !== undefined;

    describe("connect", () => {
      test("[CO-1] somebody with a token is its user, anybody else is nobody", async () => {
        const token = await server.token({ sub: "bob" });
        const channel = fresh();
        const bob = await open({ token, subscribe: on(channel) });
        const other = await open({ subscribe: on(channel) });
        expect(await bob.next("connected")).toMatchObject({ user: "bob", ping: 25_000 });
        expect(await other.next("connected")).not.toHaveProperty("user");
        expect(bob.session).not.toBe(other.session);
      });

      test("[CO-4] [OW-3] a bad token and an expired one are refused, each in its own words, and leave nothing", async () => {
        const channel = fresh();
        const expired = await server.token({ sub: "bob", exp: 1000 });
        for (const [token, code] of [
          ["no.token.at-all", 300],
          [expired, 301],
        ] as const) {
          const peer = await open({ token, subscribe: on(channel) });
          expect([token, (peer.refused ?? 0) % 4000]).toEqual([token, code]);
          expect(remedyOf(peer.refused ?? 0)).toBe("refresh");
          expect(peer.messages(channel)).toEqual([]);
        }
        expect((await server.api("GET", `/api/channels/${channel}`)).body).toMatchObject({ subscribers: 0 });
      });
    });

    describe("subscribe", () => {
      test("[SU-1] several channels at once, also such that nobody has ever heard of", async () => {
        const channels = [fresh(), fresh(), fresh("né:"), "@".slice(1) + fresh("a=b.c/d?e&f#")];
        const peer = await open({ subscribe: on(...channels) });
        for (const channel of channels) {
          expect(peer.positions.get(channel)).toMatchObject({ offset: 0 });
          await server.publish(channel, channel);
          expect(await peer.offsets(channel, 1)).toEqual([1]);
        }
      });

      test("[SU-9] [WS-7] [OW-7] one that is forbidden is said to be, and the others go on", async () => {
        const [shut, free] = [fresh("shut:"), fresh()];
        const peer = await open({ subscribe: on(shut, free) });
        await peer.until("the refusal", () =>
          peer.frames.some((frame) => (frame.type === "error" || frame.type === "unsubscribed") && frame.code === 109),
        );
        await server.publish(shut, "secret");
        await server.publish(free, "seen");
        await peer.offsets(free, 1);
        expect(peer.messages(shut)).toEqual([]);
      });

      // Cursors hold the positions of all channels: about sixty of names like these (CU-3).
      const many = can.stall && !transport.name.startsWith("sse") ? 150 : 60;
      test(`[SU-10] ${many} channels, each in order`, async () => {
        const channels = Array.from({ length: many }, () => fresh());
        const peer = await open({ subscribe: on(...channels) });
        for (let n = 1; n <= 3; n++) {
          await server.api("POST", "/api/publish", { channels, data: n });
        }
        for (const channel of channels) expect(await peer.offsets(channel, 3)).toEqual([1, 2, 3]);
      });
    });

    describe("publications", () => {
      test("[P1] thousands in bursts, from several publishers on several channels, in order and once", async () => {
        const channels = [fresh(), fresh(), fresh()];
        const peer = await open({ subscribe: on(...channels) });
        await Promise.all(channels.map((channel) => publishAll(server, channel, upTo(2000))));
        for (const channel of channels) {
          expect(await peer.offsets(channel, 2000)).toEqual(upTo(2000));
          expect(peer.messages(channel).map(({ data }) => data)).toEqual(upTo(2000));
        }
      });

      test("[FR-15] what was published is what comes: every kind of JSON, every kind of text", async () => {
        const channel = fresh();
        const texts = ["é🎉中", "\u0000\u001f", "\r\n\r\nid: 1\ndata: x", "\u2028\u2029\u0085\ufeff", '"\\', "", " "];
        const values: Json[] = [...texts, null, false, 0, -1.5e-7, [], {}, [[["deep"]]], { "a\nb": "c\rd" }];
        const peer = await open({ subscribe: on(channel) });
        await publishAll(server, channel, values);
        await peer.offsets(channel, values.length);
        expect(peer.messages(channel).map(({ data }) => data)).toEqual(values);
      });

      test("one of a megabyte comes whole, and so does what follows it", async () => {
        const channel = fresh();
        const large = "0123456789abcdef".repeat(65_000);
        const peer = await open({ subscribe: on(channel) });
        await server.publish(channel, large);
        await server.publish(channel, "small");
        expect(await peer.offsets(channel, 2)).toEqual([1, 2]);
        expect(peer.messages(channel)[0]?.data === large).toBeTrue();
        peer.drop();
        const again = await open({ subscribe: [{ channel, since: { ...at(peer, channel), offset: 0 } }] });
        expect(await again.offsets(channel, 2)).toEqual([1, 2]);
        expect(again.messages(channel)[0]?.data === large).toBeTrue();
      });

      test("[PU-7] those without a number come to whoever is there, and move no position", async () => {
        const channel = fresh();
        const peer = await open({ subscribe: on(channel) });
        await server.publish(channel, "first");
        await peer.offsets(channel, 1);
        // Whoever polls is away between two polls: a publication that is kept nowhere may miss it (LP-1 speaks of numbered ones).
        if (can.stall) {
          await server.publish(channel, "now", { history: false });
          await peer.until("the unnumbered one", () => peer.messages(channel).length === 2);
          expect(peer.messages(channel)[1]).not.toHaveProperty("offset");
        } else await server.publish(channel, "now", { history: false });
        await server.publish(channel, "second");
        await peer.until("the second", () => peer.positions.get(channel)?.offset === 2);
        expect(peer.messages(channel).flatMap(({ offset }) => offset ?? [])).toEqual([1, 2]);
      });

      test("[PU-6] `exclude` leaves out this one alone, live and by recovery", async () => {
        const channel = fresh();
        const [peer, other] = [await open({ subscribe: on(channel) }), await open({ subscribe: on(channel) })];
        await server.publish(channel, 1);
        await server.publish(channel, 2, { exclude: peer.session });
        await server.publish(channel, 3);
        expect(await peer.offsets(channel, 2)).toEqual([1, 3]);
        expect(await other.offsets(channel, 3)).toEqual([1, 2, 3]);
        const { epoch } = at(peer, channel);
        peer.drop();
        const again = await open({ ...sessionOf(peer), subscribe: [{ channel, since: { epoch, offset: 1 } }] });
        expect(await again.offsets(channel, 1)).toEqual([3]);
      });

      // A word of the frame `subscribe`; queries have none for it.
      if (can.frames)
        test("[PU-5] [SD-2] `echo: false` leaves out one's own, said by whatever way", async () => {
          const channel = fresh();
          const peer = await open({ subscribe: [{ channel, echo: false }] });
          const other = await open({ subscribe: on(channel) });
          for (const data of ["mine", "mine too"]) {
            const reply = await transport.say(targetOf(server), peer, { type: "publish", channel, data });
            expect(reply).toMatchObject({ type: "published", channel });
          }
          await server.publish(channel, "theirs");
          expect(await other.offsets(channel, 3)).toEqual([1, 2, 3]);
          expect(await peer.offsets(channel, 1)).toEqual([3]);
        });
    });

    describe("recovery", () => {
      test("[RE-1] cut again and again while others publish: nothing is lost, nothing comes twice", async () => {
        const channels = [fresh(), fresh()];
        let peer = await open({ subscribe: on(...channels) });
        const got = new Map(channels.map((channel): [string, number[]] => [channel, []]));
        const publishing = Promise.all(channels.map((channel) => publishAll(server, channel, upTo(1500), 15)));
        const take = (): void => {
          for (const [channel, list] of got) list.push(...peer.messages(channel).map(({ offset = 0 }) => offset));
        };
        for (let cut = 0; cut < 8; cut++) {
          await peer.until("some", () => peer.frames.filter(({ type }) => type === "message").length > 20);
          peer.drop();
          take();
          peer = await open(peer.luggage(on(...channels)));
          expect(peer.frames.filter((frame) => frame.type === "subscribed" && !frame.recovered)).toEqual([]);
        }
        await publishing;
        await peer.until("all", () => channels.every((channel) => peer.positions.get(channel)?.offset === 1500));
        take();
        for (const channel of channels) expect(got.get(channel)).toEqual(upTo(1500));
      });

      test("[RE-5] [RE-3] what is no longer kept, and another epoch, are said: `recovered: false` at the top", async () => {
        const channel = fresh("short:");
        const peer = await open({ subscribe: on(channel) });
        await server.publish(channel, 1);
        await peer.offsets(channel, 1);
        peer.drop();
        await publishAll(server, channel, upTo(10));
        const stale = at(peer, channel);
        for (const since of [stale, { epoch: "another", offset: 9 }, { ...stale, offset: 999 }]) {
          const again = await open({ subscribe: [{ channel, since }] });
          expect(await again.next("subscribed")).toMatchObject({ channel, offset: 11, recovered: false });
          expect(again.messages(channel)).toEqual([]);
          again.drop();
        }
      });

      test("[RE-2] from the earliest kept, and over into what comes", async () => {
        const channel = fresh();
        await publishAll(server, channel, upTo(300));
        const peer = await open({ subscribe: [{ channel, since: "earliest" }] });
        await publishAll(server, channel, upTo(20), 1);
        expect(await peer.offsets(channel, 320)).toEqual(upTo(320));
      });
    });

    // Presence, events and their data are words of the frame `subscribe`; queries have none for them.
    if (can.frames)
      describe("presence", () => {
        test("[PR-4] [PR-7] who comes and goes is seen, [PR-5] who comes back in time is not", async () => {
          const channel = fresh();
          const watcher = await open({ subscribe: [{ channel, events: true }] }, WEBSOCKET);
          const token = await server.token({ sub: "ann" });
          const wishes = { token, subscribe: [{ channel, presence: { mood: "good" } }] };
          let ann = await open(wishes);
          expect(await watcher.next("join")).toMatchObject({
            channel,
            member: { user: "ann", data: { mood: "good" } },
          });
          for (let round = 0; round < 3; round++) {
            ann.drop();
            ann = await open(ann.luggage(wishes.subscribe));
          }
          await Bun.sleep(500);
          expect(watcher.frames.filter(({ type }) => type === "join" || type === "leave")).toHaveLength(1);
          ann.drop();
          expect(await watcher.next("leave")).toMatchObject({ channel, member: { user: "ann" } });
        });

        test("[PR-7] others' coming and going is told on this transport", async () => {
          const channel = fresh();
          const peer = await open({ subscribe: [{ channel, events: true }] });
          const token = await server.token({ sub: "ann" });
          const ann = await open({ token, subscribe: [{ channel, presence: true }] }, WEBSOCKET);
          await peer.until("the join", () => peer.frames.some(({ type }) => type === "join"));
          if (!can.stall) return ann.drop();
          // Whoever polls is away between two polls, and events are kept nowhere; the first one found it waiting.
          ann.drop();
          expect(await peer.next("leave")).toMatchObject({ member: { user: "ann" } });
        });
      });

    describe("goodbyes", () => {
      for (const [reconnect, code] of [
        [false, 4102],
        [true, 4206],
      ] as const) {
        test(`[BY-9] the application ends it with ${code}, behind what was queued`, async () => {
          const channel = fresh();
          const token = await server.token({ sub: "eve" });
          const peer = await open({ token, subscribe: on(channel) });
          await until("it is there", () => isConnected(server, peer.session));
          await server.publish(channel, "last");
          await peer.offsets(channel, 1);
          await until("it is ended", async () => {
            const { body } = await server.api("POST", "/api/users/eve/disconnect", { reconnect, reason: "enough" });
            return (body as { sessions?: number }).sessions !== 0 || peer.isEnded;
          });
          await peer.untilEnded();
          if (wasRefused(peer)) expect(peer.refused).toBe(code);
          else {
            expect(peer.goodbye).toMatchObject({ code, reconnect });
            expect(peer.goodbye?.reason).toContain("enough");
            expect(peer.frames.at(-1)?.type).toBe("disconnect");
          }
          expect(await isConnected(server, peer.session)).toBeFalse();
        });
      }

      test("[CO-13] [OW-5] whoever goes on elsewhere is told so on the connection that still stands", async () => {
        const channel = fresh();
        const peer = await open({ subscribe: on(channel) });
        await until("it is there", () => isConnected(server, peer.session));
        const next = await open(peer.luggage(on(channel)), WEBSOCKET);
        await peer.untilEnded();
        if (wasRefused(peer)) expect(peer.refused).toBe(4101);
        else expect(peer.goodbye).toMatchObject({ code: 4101, reconnect: false });
        expect(next.session).toBe(peer.session as string);
        await server.publish(channel, 1);
        expect(await next.offsets(channel, 1)).toEqual([1]);
      });
    });

    test("[OW-8] [SU-12] of all those nothing is left: no session, no subscription, no channel", async () => {
      await until("nobody is there", async () => {
        const { body } = await server.api("GET", "/api/stats");
        const { sessions, subscriptions, channels } = body as Record<string, number>;
        return sessions === 0 && subscriptions === 0 && channels === 0;
      });
    });
  });

  describe(`transport contract: ${transport.name}, with a server of its own`, () => {
    afterEach(dropAll);

    test("[BY-8] a server that stops says so, with a time to come back, and [RE-1] nothing is lost over its restart", async () => {
      const server = await startServer({ ...FLAGS, engine: "sqlite" });
      const channel = "a";
      const peer = await openOn(server, { subscribe: [{ channel }] });
      await server.publish(channel, 1);
      await peer.offsets(channel, 1);
      await until("it is there", () => isConnected(server, peer.session));
      await server.restart();
      await peer.untilEnded();
      expect(peer.goodbye).toMatchObject({ code: 4200, reconnect: true, after: expect.any(Number) });
      await server.publish(channel, 2);
      const again = await openOn(server, peer.luggage([{ channel }]));
      expect(await again.offsets(channel, 1)).toEqual([2]);
      again.drop();
      await server.stop();
    });

    // A waiting poll is answered within its own time, which its client has chosen: it needs no other sign.
    if (can.heartbeat)
      test("[LI-1] [ES-6] [HS-2] [TC-7] a silent server shows that it is there", async () => {
        const server = await startServer({ ...FLAGS, "ping-interval-ms": "1000", "ping-timeout-ms": "60000" });
        // On TCP for those alone who ask: lines typed by hand are not to be answered by pings.
        const peer = await openOn(server, { subscribe: [{ channel: "a" }], ...(can.frames && { ping: true }) });
        await peer.until("two heartbeats", () => peer.beats >= 2);
        expect(peer.isEnded).toBeFalse();
        peer.drop();
        await server.stop();
      });

    // What waits for a poll is one answer, bounded as such: nothing grows behind it.
    if (can.stall)
      test("[P4] [BY-7] a reader that stops is ended once its budget is full, others get everything, and it recovers", async () => {
        const server = await startServer({
          ...FLAGS,
          "channels-history-size": "100000",
          "queue-bytes-max": String(QUEUE_BYTES_MAX),
          "publication-bytes-max": "65536",
        });
        const other = await openOn(server, { subscribe: [{ channel: "a" }] });
        const stalled = await openOn(server, { subscribe: [{ channel: "a" }] });
        stalled.pause();
        let published = 0;
        // The kernel's own buffers take several megabytes before anything waits in the server.
        while (await isConnected(server, stalled.session)) {
          await publishAll(server, "a", Array.from({ length: 20 }, noise));
          published += 20;
          expect(published).toBeLessThan(5000);
        }
        await publishAll(server, "a", Array(20).fill("more") as string[]);
        expect(await other.offsets("a", published + 20)).toEqual(upTo(published + 20));
        expect(other.isEnded).toBeFalse();

        stalled.resume();
        await stalled.until("the goodbye", () => stalled.goodbye !== undefined || stalled.isEnded);
        await stalled.untilEnded();
        const got = stalled.messages("a").map(({ offset = 0 }) => offset);
        expect(got).toEqual(upTo(got.length));
        expect(stalled.goodbye).toMatchObject({ code: 4201, reconnect: true });
        const again = await openOn(server, stalled.luggage([{ channel: "a" }]));
        const rest = published + 20 - got.length;
        expect(await again.offsets("a", rest)).toEqual(upTo(rest).map((n) => n + got.length));
        again.drop();
        other.drop();
        await server.stop();
      });
  });
}

function at(peer: Peer, channel: string): { epoch: string; offset: number } {
  const position = peer.positions.get(channel);
  if (position === undefined) throw new Error(`the peer has no position in ${channel}`);
  return position;
}

function sessionOf({ session }: Peer): Pick<Wishes, "session"> {
  return session === undefined ? {} : { session };
}
