/** A follower against a server that plays its part frame by frame. */
import { expect, test } from "bun:test";
import { type Command, decodeCommand, type ServerFrame } from "@longwire/protocol";
import { systemClock } from "../base/clock.ts";
import { Follower, type FollowerOptions } from "./follower.ts";

type Reply = (command: Command, connection: number, send: (frame: ServerFrame) => void, close: () => void) => void;

/** Follows until the server says goodbye for good. */
async function follow(reply: Reply, options: Partial<FollowerOptions> & Pick<FollowerOptions, "channels">) {
  const lines: string[] = [];
  const notices: string[] = [];
  const asked: Command[] = [];
  let connections = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no", { status: 400 })),
    websocket: {
      open: () => void connections++,
      message(socket, text) {
        const command = decodeCommand(String(text), 64);
        asked.push(command);
        const close = () => (connections < 2 ? socket.terminate() : socket.close(4103, ""));
        reply(command, connections, (frame) => socket.send(JSON.stringify(frame)), close);
      },
    },
  });
  try {
    await new Follower({
      url: new URL(`ws://127.0.0.1:${server.port}`),
      token: undefined,
      since: undefined,
      clock: systemClock,
      message: (text) => lines.push(text),
      notice: (line) => notices.push(line),
      ...options,
    }).run();
  } finally {
    await server.stop(true);
  }
  return { offsets: lines.map((line) => (JSON.parse(line) as { offset: number }).offset), lines, notices, asked };
}

test("a channel that the server subscribes by itself is followed too, from its position; others are not printed", async () => {
  const { offsets, lines, notices, asked } = await follow(
    (command, connection, send, close) => {
      const id = command.id ?? 0;
      if (command.type === "connect") {
        send({ type: "connected", id, session: "s", ping: 25_000 });
        const offset = command.since?.["@bob"]?.offset ?? 0;
        for (const channel of ["@bob", "news"]) {
          send({ type: "subscribed", channel, epoch: "e", offset, recovered: true });
          for (const step of [1, 2]) send({ type: "message", channel, offset: offset + step, data: connection });
        }
      } else if (command.type === "subscribe") {
        send({ type: "error", id, code: 107, message: "the channel is already subscribed" });
        close();
      }
    },
    { channels: ["@bob"] },
  );
  expect(offsets).toEqual([1, 2, 3, 4]);
  expect(lines.join("")).not.toContain("news");
  expect(notices.join("\n")).not.toContain("already subscribed");
  const connects = asked.filter(({ type }) => type === "connect");
  expect(connects.map((connect) => ("since" in connect ? connect.since : undefined))).toMatchObject([
    undefined,
    { "@bob": { epoch: "e", offset: 2 } },
  ]);
});

const refuseSecond: Reply = (command, _connection, send, close) => {
  const id = command.id ?? 0;
  if (command.type === "connect") send({ type: "connected", id, session: "s", ping: 25_000 });
  if (command.type !== "subscribe") return;
  send({ type: "error", id, code: 107, message: "the channel is already subscribed" });
  close();
};

test("where the server subscribes by itself, `--since` can only be a position, and it says so once", async () => {
  const words = await follow(refuseSecond, { channels: ["@bob"], since: "earliest" });
  expect(words.notices.filter((line) => line.includes("--since")).length).toBe(1);
  const position = { epoch: "e", offset: 7 };
  const exact = await follow(refuseSecond, { channels: ["@bob"], since: position });
  expect(exact.asked[0]).toMatchObject({ type: "connect", since: { "@bob": position } });
  expect(exact.notices.join("")).not.toContain("--since");
});

test("a server that promises no pings is not taken for dead", async () => {
  const { offsets, notices } = await follow(
    (command, connection, send, close) => {
      const id = command.id ?? 0;
      if (command.type === "connect") send({ type: "connected", id, session: "s", ping: 0 });
      if (command.type !== "subscribe") return;
      send({ type: "subscribed", id, channel: "a", epoch: "e", offset: connection - 1, recovered: true });
      setTimeout(() => {
        send({ type: "message", channel: "a", offset: connection, data: 1 });
        close();
      }, 100);
    },
    { channels: ["a"] },
  );
  expect(offsets).toEqual([1, 2]);
  expect(notices.join("\n")).not.toContain("nothing was heard");
});
