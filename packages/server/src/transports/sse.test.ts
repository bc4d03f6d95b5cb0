import { expect, test } from "bun:test";
import type { Server } from "bun";
import { Disconnect } from "../base/failures.ts";
import { Turn } from "../base/turn.ts";
import { eventStreamProtocol } from "../protocols/event-stream.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { decodeCursor, type ServerFrame } from "@longwire/protocol";
import { buildCore, type CoreHouse, settle } from "../../test/support/core.ts";
import { oneWayProtocol, quietProtocol } from "./opening.ts";
import { laterAnswer, type SseTransport, sseTransport } from "./sse.ts";

const NATIVE = nativeProtocol(16);
const PROTOCOL = oneWayProtocol(
  eventStreamProtocol(NATIVE, { named: false }),
  eventStreamProtocol(quietProtocol(NATIVE), { named: false }),
);

const SERVER = { requestIP: () => null, timeout: () => undefined } as unknown as Server<unknown>;

function build(draining = false, gateway = buildCore().gateway): SseTransport {
  return sseTransport({
    gateway,
    turn: new Turn(),
    limits: { channelsMax: 10, bodyBytesMax: 1000, credentials: (_request, handshake) => handshake },
    compression: true,
    retryMs: 1234,
    draining: () => draining,
    viewer: undefined,
    forwarded: undefined,
    protocolOf: () => PROTOCOL,
  });
}

const ask = (transport: SseTransport, query: string): Promise<Response> =>
  transport(new Request(`http://x/sse?${query}`), SERVER, query, "");

test("[ES-10] what passes is answered 200, with a time to come back, and ends: a browser never comes back after a 503", async () => {
  const answer = await ask(build(true), "channels=a");
  expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
  expect(answer.headers.get("cache-control")).toContain("no-store");
  // Read to its end.
  const text = await answer.text();
  expect(text).toStartWith("retry: 1234\n\ndata: ");
  expect(JSON.parse(text.split("data: ")[1] ?? "")).toMatchObject({ type: "disconnect", code: 4200, reconnect: true });
  const later = await laterAnswer(new Disconnect("overloaded", undefined, 9000), 1234).text();
  expect(later).toStartWith("retry: 9000\n\n");
  expect(later).toContain('"after":9000');
});

test("[ES-10] what is refused for good has a status that makes a browser stop", async () => {
  const transport = build();
  for (const [query, status, code] of [
    ["channels=a&since=none", 400, 4104],
    ["channels=a&token=bad", 401, 4300],
    ["channels=%20", 400, 4104],
  ] as const) {
    const answer = await ask(transport, query);
    expect([query, answer.status]).toEqual([query, status]);
    expect(await answer.json()).toMatchObject({ error: { code } });
  }
});

/** What a stream has brought so far: the publications, and after each `id:` the positions in it. */
interface Reader {
  session: string;
  readonly offsets: Map<string, number[]>;
  readonly told: { readonly positions: Readonly<Record<string, number>>; readonly offsets: Record<string, number[]> }[];
}

async function read(answer: Response, reader: Reader): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of answer.body as ReadableStream<Uint8Array>) {
    const events = (rest + decoder.decode(bytes, { stream: true })).split("\n\n");
    rest = events.pop() ?? "";
    for (const event of events) note(event, reader);
  }
}

function note(event: string, reader: Reader): void {
  const data = /^data: (.*)$/m.exec(event)?.[1];
  const id = /^id: (.*)$/m.exec(event)?.[1];
  if (data !== undefined) {
    const frame = JSON.parse(data) as ServerFrame;
    if (frame.type === "connected") reader.session = frame.session;
    const { channel, offset } = frame.type === "message" ? frame : {};
    if (channel !== undefined && offset !== undefined) {
      reader.offsets.set(channel, [...(reader.offsets.get(channel) ?? []), offset]);
    }
  }
  if (id === undefined) return;
  const positions = [...(decodeCursor(id) ?? [])].map(([channel, { offset }]): [string, number] => [channel, offset]);
  reader.told.push({
    positions: Object.fromEntries(positions),
    offsets: Object.fromEntries([...reader.offsets].map(([channel, offsets]) => [channel, [...offsets]])),
  });
}

async function follow(house: CoreHouse, transport: SseTransport, user: string): Promise<Reader> {
  const reader: Reader = { session: "", offsets: new Map(), told: [] };
  const commands = [
    { type: "connect", token: user },
    { type: "subscribe", channel: "a" },
    { type: "subscribe", channel: "b", echo: false },
    { type: "subscribe", channel: "c" },
  ].map((command) => JSON.stringify(command));
  const answer = await ask(transport, `commands=${encodeURIComponent(commands.join("\n"))}`);
  void read(answer, reader);
  await settle();
  expect([reader.session.length > 0, house.errors]).toEqual([true, []]);
  return reader;
}

// A stream may be cut anywhere. What stands behind a cursor that covers it already would never be sent again: topics and what is for one
// session alone went out apart, and the first of the two carried the cursor of both.
test("[ES-4] no cursor covers what comes behind it, whatever one turn brings by whichever way", async () => {
  const house = buildCore({ settings: { queueBytesMax: 64 * 1024 } });
  const transport = build(false, house.gateway);
  const readers = [];
  for (const user of ["ann", "bob", "eve"]) readers.push(await follow(house, transport, user));
  const [ann, bob] = readers as [Reader, Reader];
  const small = JSON.stringify("small");
  const large = JSON.stringify("x".repeat(33_000));
  /** Channel, data, whom it leaves out. */
  const turns: [string, string, Reader?][][] = [
    [
      ["@bob", small],
      ["a", small],
    ],
    [
      ["a", small],
      ["@bob", small],
    ],
    [
      ["a", small],
      ["b", large],
    ],
    [
      ["a", small],
      ["a", small, ann],
    ],
    [
      ["c", small],
      ["a", small, bob],
      ["c", small],
      ["@ann", small],
      ["b", large],
    ],
    [
      ["b", small],
      ["a", small],
      ["b", large, ann],
      ["c", small],
    ],
  ];
  const left = new Map<Reader, string[]>();
  const tops: Record<string, number> = {};
  for (const turn of [...turns, ...turns.toReversed()]) {
    for (const [channel, data, excluded] of turn) {
      tops[channel] = (tops[channel] ?? 0) + 1;
      if (excluded !== undefined) left.set(excluded, [...(left.get(excluded) ?? []), `${channel} ${tops[channel]}`]);
      void house.control.publish({ channel, data, ...(excluded !== undefined && { exclude: excluded.session }) });
    }
    await settle();
  }
  for (const reader of readers) {
    for (const { positions, offsets } of reader.told) {
      for (const [channel, top] of Object.entries(positions)) {
        const missing = Array.from({ length: top }, (_, n) => n + 1)
          .filter((offset) => offsets[channel]?.includes(offset) !== true)
          .filter((offset) => left.get(reader)?.includes(`${channel} ${offset}`) !== true);
        expect([channel, missing]).toEqual([channel, []]);
      }
    }
    expect(reader.told.at(-1)?.positions).toMatchObject({ a: tops["a"], b: tops["b"], c: tops["c"] });
  }
});

const cursorOf = (positions: Readonly<Record<string, number>>, epoch: string): string =>
  Buffer.from(
    Object.entries(positions)
      .map(([channel, offset]) => `${channel}=${epoch}.${offset}`)
      .join(","),
  ).toString("base64url");

// Subscribed first, the channel that the session was given was told as if it were the only one: cut there, the browser came back without
// its position in the other.
test("[ES-4] [CO-11] who comes back as a session that was given a channel never has a cursor without the other", async () => {
  const house = buildCore();
  const transport = build(false, house.gateway);
  const ask = async (query: string): Promise<Reader> => {
    const reader: Reader = { session: "", offsets: new Map(), told: [] };
    const answer = await transport(new Request(`http://x/sse?${query}`), SERVER, query, "");
    expect(answer.status).toBe(200);
    void read(answer, reader);
    await settle();
    return reader;
  };
  const { session } = await ask("channels=a");
  await house.control.subscribeSession(session, "given");
  const { epoch } = (await house.control.publish({ channel: "a", data: "1" })) as { epoch: string };
  const { told } = await ask(`channels=a&session=${session}&lastEventId=${cursorOf({ a: 1, given: 0 }, epoch)}`);
  expect(told.map(({ positions }) => positions)).toEqual([{ a: 1, given: 0 }]);
});

test("[ES-5] the last event's id counts before positions and words of the frames in the url, which a browser repeats", async () => {
  const house = buildCore();
  const transport = build(false, house.gateway);
  let epoch = "";
  for (const channel of ["a", "b", "@bob"]) {
    for (let n = 1; n <= 4; n++)
      ({ epoch } = (await house.control.publish({ channel, data: "1" })) as { epoch: string });
  }
  const since = { epoch, offset: 1 };
  const commands = [
    { type: "connect", token: "bob", since: { "@bob": since } },
    { type: "subscribe", channel: "a", since },
    { type: "subscribe", channel: "b", since: "earliest" },
  ];
  const query = `commands=${encodeURIComponent(commands.map((command) => JSON.stringify(command)).join("\n"))}`;
  const cursor = cursorOf({ a: 3, b: 2, "@bob": 4 }, epoch);
  const request = new Request(`http://x/sse?${query}`, { headers: { "last-event-id": cursor } });
  const reader: Reader = { session: "", offsets: new Map(), told: [] };
  void read(await transport(request, SERVER, query, ""), reader);
  await settle();
  expect(Object.fromEntries(reader.offsets)).toEqual({ a: [4], b: [3, 4] });
});
