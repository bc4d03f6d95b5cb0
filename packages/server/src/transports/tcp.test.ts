/** A connection of raw TCP between a socket and a gateway that are both played: what depends on how much a socket takes, and when. */
import { expect, test } from "bun:test";
import type { Socket } from "bun";
import { Disconnect } from "../base/failures.ts";
import { Turn } from "../base/turn.ts";
import type { Frame } from "../ports/connection.ts";
import type { Gateway } from "../ports/gateway.ts";
import { joined, jsonFraming } from "./framings.ts";
import { TcpConnection } from "./tcp.ts";
import { TurnFanout } from "./turn-fanout.ts";

/** `room`: how much the socket takes before it is full. */
function build({ subscribed = false, onMessage }: { subscribed?: boolean; onMessage?: (message: Frame) => void } = {}) {
  const told: string[] = [];
  const socket = {
    room: Infinity,
    taken: "",
    write(bytes: Uint8Array): number {
      const count = Math.min(bytes.length, socket.room);
      socket.room -= count;
      socket.taken += Buffer.from(bytes.subarray(0, count)).toString();
      return count;
    },
    pause: () => void told.push("pause"),
    resume: () => void told.push("resume"),
    shutdown: () => void told.push("shutdown"),
    terminate: () => void told.push("terminate"),
  };
  const gateway: Partial<Gateway> = {
    receive(_session, message) {
      told.push(String(message));
      onMessage?.(message);
    },
    ended: () => Promise.resolve(subscribed),
    heard: () => undefined,
    drained: () => void told.push(`drained ${connection.buffered()}`),
    strained: () => void told.push(`strained ${connection.buffered()}`),
    violated: (_session, disconnect, detail) => void told.push(`${disconnect}: ${detail}`),
    closed: (_session, code, reason) => void told.push(`closed ${code} ${reason}`),
  };
  const fanout = new TurnFanout(new Turn(), joined(jsonFraming));
  const connection = new TcpConnection(socket as unknown as Socket<TcpConnection>, {
    gateway: gateway as Gateway,
    framing: jsonFraming,
    messageBytesMax: 100,
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    fanout,
  });
  connection.session = { id: "s" };
  return { connection, socket, told, fanout };
}

const GOODBYE = new Disconnect("kicked");

test("what a socket does not take is counted, kept in order, and written when there is room", () => {
  const { connection, socket, told } = build();
  socket.room = 4;
  connection.send(["first", "second"]);
  connection.send(["third"]);
  connection.deliver(Buffer.from("fourth\n"));
  expect([socket.taken, connection.buffered()]).toEqual(["firs", 22]);
  socket.room = 6;
  connection.drained();
  expect([socket.taken, connection.buffered()]).toEqual(["first\nseco", 16]);
  socket.room = Infinity;
  connection.drained();
  expect([socket.taken, connection.buffered()]).toEqual(["first\nsecond\nthird\nfourth\n", 0]);
  expect(told).toEqual(["strained 22", "drained 16", "drained 0"]);
});

test("large pieces are written one by one, small ones together", () => {
  const { connection, socket } = build();
  socket.room = 0;
  const large = "x".repeat(200_000);
  for (const frame of ["a", "b", large, large, "c"]) connection.send([frame]);
  for (let round = 0; round < 5; round++) {
    socket.room = 150_000;
    connection.drained();
  }
  expect(socket.taken).toBe(["a", "b", large, large, "c", ""].join("\n"));
});

test("what topics brought in this turn goes before what is sent to it alone, a goodbye too", () => {
  const { connection, socket, told, fanout } = build();
  connection.join("news");
  fanout.publish("news", "one");
  fanout.publish("news", "two");
  connection.send(["answer"]);
  expect(socket.taken).toBe("one\ntwo\nanswer\n");
  // Whoever sends looks at the queue itself; asking in between could end the connection in the middle of its own goodbye.
  socket.room = 0;
  fanout.publish("news", "three");
  connection.send(["goodbye"]);
  expect(told).toEqual([]);
  connection.leave("news");
  fanout.publish("news", "four");
  fanout.flush();
  expect(connection.buffered()).toBe("three\ngoodbye\n".length);
});

test("[BY-1] a goodbye waits for the queue, then the write side is shut; nothing goes behind it, nothing that comes is looked at", () => {
  const { connection, socket, told } = build();
  socket.room = 0;
  connection.send(["queued"]);
  connection.close(GOODBYE);
  connection.send(["late"]);
  connection.deliver(Buffer.from("late\n"));
  connection.received(Buffer.from("late\n"));
  // Paused, it would never see the client's end.
  connection.pause();
  expect(told).toEqual(["resume"]);
  socket.room = Infinity;
  connection.drained();
  expect(socket.taken).toBe("queued\n");
  expect(told).toEqual(["resume", "shutdown", "drained 0"]);
  connection.close(new Disconnect("slow"));
  connection.closed(undefined);
  expect(told.at(-1)).toBe(`closed 4102 ${GOODBYE.message}`);
});

test("a message that ends the connection is the last one that is looked at", () => {
  const { connection, told } = build({ onMessage: (message) => message === "last" && connection.close(GOODBYE) });
  connection.received(Buffer.from("one\nlast\nnever\n"));
  expect(told).toEqual(["one", "last", "resume", "shutdown"]);
});

test("a socket that is gone takes everything, and is told once to be closed", () => {
  const { connection, socket, told } = build();
  socket.write = () => -1;
  connection.send(["into the void"]);
  expect(connection.buffered()).toBe(0);
  connection.closed(new Error("ECONNRESET"));
  expect(told).toEqual(["closed 1006 ECONNRESET"]);
});

test("[TC-6] after the client's end: an empty line while it is subscribed, else the end", async () => {
  const stays = build({ subscribed: true });
  stays.connection.ping();
  stays.connection.ended();
  await Bun.sleep(0);
  stays.connection.ping();
  expect([stays.socket.taken, stays.told]).toEqual(["\n\n", []]);
  const goes = build();
  goes.connection.ended();
  await Bun.sleep(0);
  expect([goes.socket.taken, goes.told]).toEqual(["", ["resume", "shutdown"]]);
});

test("[TC-4] [TC-5] what is wrong with the bytes is told to the gateway", () => {
  const large = build();
  large.connection.received(Buffer.alloc(101, "x"));
  expect(large.told).toEqual(["messageTooLarge: at most 100 bytes (messageBytesMax)"]);
  const tls = build();
  tls.connection.received(Uint8Array.of(0x16));
  expect(tls.told).toEqual([]);
  tls.connection.received(Uint8Array.of(0x03));
  expect(tls.told).toEqual(["badRequest: this port speaks no TLS"]);
});
