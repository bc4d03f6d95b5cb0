import { expect, test } from "bun:test";
import type { Server } from "bun";
import { Disconnect } from "../base/failures.ts";
import type { Connection } from "../ports/connection.ts";
import type { Gateway } from "../ports/gateway.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { linesOf } from "./opening.ts";
import { sendTransport } from "./send.ts";

const RUNTIME = { requestIP: () => null } as unknown as Server<unknown>;

// A body holds millions of lines: handing on each of them to a session that is over held everybody else up for a third of a second.
test("[P4] what stands behind the line that ended it is not looked at", async () => {
  const received: unknown[] = [];
  let connection: Connection | undefined;
  const gateway: Partial<Gateway> = {
    open(opened) {
      connection = opened;
      return { id: "s" };
    },
    receive(_session, line) {
      received.push(line);
      if (received.length === 2) connection?.close(new Disconnect("flooding"));
    },
    settled: () => Promise.resolve(),
    closed: () => undefined,
  };
  const send = sendTransport({
    gateway: gateway as Gateway,
    bodyBytesMax: 1000,
    messageBytesMax: 100,
    draining: () => false,
    credentials: (_, handshake) => handshake,
    viewer: undefined,
    forwarded: undefined,
    protocol: nativeProtocol(16),
  });
  const body = "1\n\n2\n3\n4\n";
  const answer = await send(new Request("http://x/send", { method: "POST", body }), RUNTIME, "");
  expect([received, answer.status]).toEqual([["1", "2"], 503]);
});

test("[OW-1] [SD-1] lines of a body: the last one needs no end, and those of white space are none", () => {
  for (const [body, lines] of [
    ["", []],
    ["\n", []],
    ["a", ["a"]],
    ["a\nb", ["a", "b"]],
    ["\n\na \r\n \t\r\n\n\nb\n\n", ["a \r", "b"]],
  ] as const) {
    expect([body, [...linesOf(body)]]).toEqual([body, [...lines]]);
  }
});
