/** Whoever comes back on another transport goes on where it was: the positions are the client's, and the session is found anywhere. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { decodeCursor, type Position } from "@longwire/protocol";
import { isConnected, publishAll, targetOf, until, upTo } from "../../test/contracts/transport.ts";
import type { Peer, Wishes } from "../../test/support/peer/peer.ts";
import { POLL, SSE, SSE_BY_QUERY, STREAM, TCP, TRANSPORTS, WEBSOCKET } from "../../test/support/peer/transports.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient } from "../../test/support/ws-client.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    "channels-history-size": "5000",
    "channels-leave-delay-ms": "1000",
    "resume-seconds": "60",
  });
});
afterAll(() => server.stop());

describe("from every transport to every transport", () => {
  for (const [at, first] of TRANSPORTS.entries()) {
    test(`[P2] [P3] [OW-4] [OW-5] ${first.name}: the same session, its positions, nothing lost and nothing twice`, async () => {
      const channels = [`a${at}`, `b${at}`];
      const token = await server.token({ sub: `user${at}` });
      let wishes: Wishes = { token, subscribe: channels.map((channel) => ({ channel })) };
      const got = new Map(channels.map((channel): [string, number[]] => [channel, []]));
      let session: string | undefined;
      let published = 0;
      let before: Peer | undefined;
      // There and back, to each of the others.
      for (const [turn, transport] of TRANSPORTS.flatMap((other) => [first, other]).entries()) {
        const peer = await transport.open(targetOf(server), wishes);
        session ??= peer.session;
        expect(peer.session).toBe(session as string);
        expect(peer.frames.filter((frame) => frame.type === "subscribed" && !frame.recovered)).toEqual([]);
        if (before !== undefined) {
          // The former connection, where it still stood, is told that it was left.
          await before.untilEnded();
          expect(before.goodbye?.code ?? 4101).toBe(4101);
        }
        published += 5;
        for (const channel of channels) await publishAll(server, channel, upTo(5), 2);
        await peer.until("all of them", () =>
          channels.every((channel) => peer.positions.get(channel)?.offset === published),
        );
        wishes = peer.luggage(wishes.subscribe ?? []);
        for (const [channel, list] of got) list.push(...peer.messages(channel).map(({ offset = 0 }) => offset));
        // Some are cut before the next comes, some stand still. One that polls on would take the session back.
        if (turn % 3 !== 0 || !transport.can.stall) peer.drop();
        published += 3;
        for (const channel of channels) await publishAll(server, channel, upTo(3));
        before = peer;
      }
      const last = await first.open(targetOf(server), wishes);
      await last.until("the rest", () =>
        channels.every((channel) => last.positions.get(channel)?.offset === published),
      );
      for (const [channel, list] of got) {
        list.push(...last.messages(channel).map(({ offset = 0 }) => offset));
        expect(list).toEqual(upTo(published));
      }
      last.drop();
    });
  }

  test("[PR-5] [OW-5] nobody sees somebody leave who goes on over another transport", async () => {
    const watcher = await connectClient(server.url);
    await watcher.request({ type: "subscribe", channel: "room", events: true });
    const token = await server.token({ sub: "ann" });
    const subscribe = [{ channel: "room", presence: true }];
    let wishes: Wishes = { token, subscribe };
    const frameTransports = TRANSPORTS.filter(({ can }) => can.frames);
    for (const transport of [...frameTransports, ...frameTransports.toReversed()]) {
      const peer = await transport.open(targetOf(server), wishes);
      await until("it is there", () => isConnected(server, peer.session));
      wishes = peer.luggage(subscribe);
      peer.drop();
    }
    // Everything that was said by now; then the delay of a leave passes.
    await watcher.request({ type: "ping" });
    const seen = (): string[] =>
      watcher.frames.flatMap((frame) => (frame.type === "join" || frame.type === "leave" ? [frame.type] : []));
    expect(seen()).toEqual(["join"]);
    await watcher.until(() => seen().length === 2);
    expect(seen()).toEqual(["join", "leave"]);
    watcher.terminate();
  });
});

/** What comes after this cursor, on an address that takes one; and the first offsets that came. */
async function after(cursor: string, how: "since" | "lastEventId" | "header", path: string): Promise<number[]> {
  const query = new URLSearchParams({ channels: "x,y", ...(how !== "header" && { [how]: cursor }) });
  if (path === "/ws") {
    const client = await connectClient(`${server.url}/ws?${query}`);
    const offsets = (await client.received("x", 5)).map(({ offset = 0 }) => offset);
    client.terminate();
    return offsets;
  }
  const abort = new AbortController();
  const headers = how === "header" ? { "last-event-id": cursor } : undefined;
  const answer = await fetch(`${server.url}${path}?${query}`, { signal: abort.signal, ...(headers && { headers }) });
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of answer.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if ((text.match(/"channel":"x","offset"/g)?.length ?? 0) >= 5) break;
  }
  abort.abort();
  return Array.from(text.matchAll(/"channel":"x","offset":(\d+)/g), ([, offset]) => Number(offset));
}

describe("cursors", () => {
  test("[WS-5] [ES-5] [LP-1] a cursor is good wherever there is one to bring, wherever it came from", async () => {
    const subscribe = [{ channel: "x" }, { channel: "y" }];
    const sources = await Promise.all([SSE, SSE_BY_QUERY, POLL].map((by) => by.open(targetOf(server), { subscribe })));
    await publishAll(server, "x", upTo(3));
    for (const source of sources) {
      await source.offsets("x", 3);
      await source.until("its cursor", () => decodeCursor(source.cursor ?? "")?.get("x")?.offset === 3);
      source.drop();
    }
    await publishAll(server, "x", upTo(5));
    for (const { cursor = "" } of sources) {
      for (const path of ["/ws", "/sse", "/stream", "/poll"]) {
        expect([path, await after(cursor, "since", path)]).toEqual([path, [4, 5, 6, 7, 8]]);
      }
      expect(await after(cursor, "lastEventId", "/sse")).toEqual([4, 5, 6, 7, 8]);
      expect(await after(cursor, "header", "/sse")).toEqual([4, 5, 6, 7, 8]);
    }
  });

  test("[RE-1] positions of frames and cursors say the same", async () => {
    const subscribe = [{ channel: "z" }];
    for (const by of [WEBSOCKET, TCP, STREAM]) {
      const peer = await by.open(targetOf(server), { subscribe });
      const { offset } = await server.publish("z", by.name);
      await peer.offsets("z", 1);
      const position = peer.positions.get("z") as Position;
      expect(position.offset).toBe(offset);
      // First, or it may have it already.
      peer.drop();
      await server.publish("z", "missed");
      const again = await SSE_BY_QUERY.open(targetOf(server), peer.luggage(subscribe));
      expect(await again.offsets("z", 1)).toEqual([offset + 1]);
      again.drop();
    }
  });
});
