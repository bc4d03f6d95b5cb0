import { expect, test } from "bun:test";
import type { Server } from "bun";
import { Disconnect } from "../base/failures.ts";
import { Turn } from "../base/turn.ts";
import { eventStreamProtocol } from "../protocols/event-stream.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { buildCore } from "../../test/support/core.ts";
import { oneWayProtocol } from "./opening.ts";
import { laterAnswer, type SseTransport, sseTransport } from "./sse.ts";

const PROTOCOL = oneWayProtocol(eventStreamProtocol(nativeProtocol(16), { named: false }));

const SERVER = { requestIP: () => null, timeout: () => undefined } as unknown as Server<unknown>;

function build(draining = false): SseTransport {
  return sseTransport({
    gateway: buildCore().gateway,
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
