/**
 * What transports without envelopes promise of what all do: order, recovery, isolation, an end. Who one is and what became of a command has no word
 * there (RW-2), so connecting, presence and replies are left out; so are positions where nothing is asked at the beginning (TC-3).
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import type { Json } from "@longwire/protocol";
import type { BareTarget, BareTransport, BareWishes } from "../support/peer/bare.ts";
import type { Peer } from "../support/peer/peer.ts";
import { type Flags, startServer, type TestServer } from "../support/server.ts";
import { publishAll, targetOf, until, upTo } from "./transport.ts";

const QUEUE_BYTES_MAX = 128 * 1024;
const [TEXT, FRAME] = ["lines", "frames"] as const;

const FLAGS: Flags = {
  "channels-history-size": "5000",
  "tcp-listeners": JSON.stringify([
    { port: 0, framing: "text", channel: TEXT },
    { port: 0, framing: "frame", channel: FRAME },
  ]),
  namespaces: JSON.stringify({ shut: { subscribe: "nobody" } }),
};

function bareTargetOf(server: TestServer): BareTarget {
  const [, text = 0, frame = 0] = server.tcpPorts;
  return { ...targetOf(server), text: { port: text, channel: TEXT }, frame: { port: frame, channel: FRAME } };
}

async function subscribers(of: TestServer, channel: string): Promise<number> {
  const { body } = await of.api("GET", `/api/channels/${channel}`);
  return (body as { subscribers: number }).subscribers;
}

async function texts(peer: Peer, count: number): Promise<string[]> {
  await peer.until(`${count} texts`, () => peer.texts.length >= count);
  return peer.texts;
}

/** How a publication comes out. */
function textOf(value: Json, { lines }: BareTransport): string {
  return typeof value === "string" && !(lines && value.includes("\n")) ? value : JSON.stringify(value);
}

export function bareTransportContract(transport: BareTransport): void {
  const { channelOf } = transport;
  const peers: Peer[] = [];

  describe(`bare transport contract: ${transport.name}`, () => {
    let server: TestServer;
    let channelCount = 0;

    beforeAll(async () => {
      server = await startServer(FLAGS);
    });
    afterEach(async () => {
      for (const peer of peers.splice(0)) peer.drop();
      // Some have no channel of their own: the next client is told from the last one by the count.
      await until("nobody is there", async () => {
        if (!transport.noticesLeaving) await server.publish(fresh(), "is anybody there?");
        const { body } = await server.api("GET", "/api/stats");
        const { sessions, subscriptions, channels } = body as Record<string, number>;
        return sessions === 0 && subscriptions === 0 && channels === 0;
      });
    });
    afterAll(() => server.stop());

    const fresh = (): string => channelOf?.(bareTargetOf(server)) ?? `c${++channelCount}`;

    /** Resolves when it is subscribed, which nothing says on the connection itself. */
    async function open(wishes: BareWishes, of = server): Promise<Peer> {
      const before = await subscribers(of, wishes.channel);
      const peer = await transport.open(bareTargetOf(of), wishes);
      peers.push(peer);
      await until("it is subscribed", async () => (await subscribers(of, wishes.channel)) > before);
      return peer;
    }

    test("[P1] [RW-2] thousands in bursts, in order and once, and nothing besides", async () => {
      const channel = fresh();
      const peer = await open({ channel });
      await publishAll(server, channel, upTo(3000));
      expect(await texts(peer, 3000)).toEqual(upTo(3000).map(String));
    });

    test("[RW-2] [HS-3] a string is its text, anything else JSON text; a line stays one line", async () => {
      const channel = fresh();
      const peer = await open({ channel });
      const values: Json[] = ["plain", "é🎉中", "", '"quoted"', "1", 1, null, [], { a: "\n" }, "two\nlines", "last"];
      await publishAll(server, channel, values);
      const wanted = values.map((value) => textOf(value, transport));
      expect(await texts(peer, values.length)).toEqual(wanted);
    });

    test("[PU-10] one of a megabyte comes whole, and so does what follows it", async () => {
      const channel = fresh();
      const peer = await open({ channel });
      const large = "0123456789abcdef".repeat(65_000);
      await publishAll(server, channel, [large, "small"]);
      const [first, second] = await texts(peer, 2);
      expect([first === large, second]).toEqual([true, "small"]);
    });

    // A TCP client without envelopes asks for nothing at the beginning: it is in the channel of its listener, from now on.
    if (channelOf === undefined)
      test("[RE-1] [RW-6] what was missed comes first, by a cursor; and the oldest that is kept", async () => {
        const channel = fresh();
        const { epoch } = await server.publish(channel, 1);
        await publishAll(server, channel, upTo(500).slice(1));
        for (const [since, first] of [
          [{ epoch, offset: 123 }, 124],
          ["earliest", 1],
        ] as const) {
          const peer = await open({ channel, since });
          expect(await texts(peer, 501 - first)).toEqual(
            upTo(500)
              .slice(first - 1)
              .map(String),
          );
        }
      });

    test("[P4] [BY-7] a reader that stops is ended once its budget is full, and others get everything", async () => {
      const own = await startServer({
        ...FLAGS,
        "queue-bytes-max": String(QUEUE_BYTES_MAX),
        "publication-bytes-max": "65536",
      });
      const channel = channelOf?.(bareTargetOf(own)) ?? "a";
      const other = await open({ channel }, own);
      const stalled = await open({ channel }, own);
      stalled.pause();
      const sent: string[] = [];
      while ((await subscribers(own, channel)) === 2) {
        const burst = upTo(20).map(() => randomBytes(11_250).toString("base64"));
        await publishAll(own, channel, burst);
        sent.push(...burst);
        expect(sent.length).toBeLessThan(5000);
      }
      await own.publish(channel, "more");
      expect((await texts(other, sent.length + 1)).at(-1)).toBe("more");
      expect(other.isEnded).toBeFalse();
      stalled.resume();
      await stalled.untilEnded();
      // Without a hole up to its end.
      expect(stalled.texts.every((text, at) => text === sent[at])).toBeTrue();
      if (transport.tellsEnd) expect(stalled.closeCode).toBe(4201);
      other.drop();
      await own.stop();
    });

    test("[BY-9] [SU-12] the application ends it, and nothing is left", async () => {
      const channel = fresh();
      const peer = await open({ channel });
      const { body } = await server.api("GET", "/api/sessions");
      const { sessions } = body as { sessions: { session: string }[] };
      for (const { session } of sessions) await server.api("POST", `/api/sessions/${session}/disconnect`, {});
      await peer.untilEnded();
      expect(peer.texts).toEqual([]);
      if (transport.tellsEnd) expect(peer.closeCode).toBe(4102);
    });
  });
}
