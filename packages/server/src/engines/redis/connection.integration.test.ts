import { expect, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import { Connection } from "./connection.ts";
import { RedisRefusal } from "./failures.ts";

/** A server that says what the test says. */
async function scripted(events: { unfollowed?: (channel: string) => void } = {}) {
  const { promise: accepted, resolve } = Promise.withResolvers<Socket>();
  const server = createServer((socket) => {
    socket.on("data", (bytes) => {
      if (/HELLO|INFO/.test(bytes.toString())) socket.write("+OK\r\n");
    });
    resolve(socket);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  const target = {
    host: "127.0.0.1",
    port,
    tls: false,
    ca: undefined,
    user: undefined,
    password: undefined,
    database: 0,
  };
  const { opened } = Connection.open(target, {
    message: () => undefined,
    unfollowed: () => undefined,
    ended: () => undefined,
    ...events,
  });
  const connection = await opened;
  const socket = await accepted;
  return {
    connection,
    say: (text: string) => socket.write(text),
    close: () => {
      connection.end();
      socket.destroy();
      server.close();
    },
  };
}

const pushed = (word: string, channel: string): string =>
  `>3\r\n$${word.length}\r\n${word}\r\n$${channel.length}\r\n${channel}\r\n:0\r\n`;

// The server ends the subscriptions of a slot that has moved, and refuses what is asked about it from then on: the `sunsubscribe` looks like the
// answer to ours, and the refusal behind it was taken for the answer to the next call, whose answer went to the one after it, and so on for good.
test("[RD-11] a slot moves while its channel is being left: every answer is that of its call", async () => {
  const unfollowed: string[] = [];
  const { connection, say, close } = await scripted({ unfollowed: (channel) => unfollowed.push(channel) });
  const left = connection.follow("SUNSUBSCRIBE", "a");
  const calls = [connection.send(["GET", "1"]), connection.send(["GET", "2"])];
  say(`${pushed("sunsubscribe", "a")}-MOVED 1 127.0.0.1:1\r\n+PONG\r\n$3\r\none\r\n$3\r\ntwo\r\n`);
  expect(await Promise.all(calls)).toEqual(["one", "two"]);
  await left;
  expect(unfollowed).toEqual([]);

  const leftInOrder = connection.follow("SUNSUBSCRIBE", "a");
  const call = connection.send(["GET", "3"]);
  say(`${pushed("sunsubscribe", "a")}+PONG\r\n$5\r\nthree\r\n`);
  await leftInOrder;
  expect(await call).toBe("three");
  close();
});

test("[RD-11] a slot moves while its channel is being followed again: that is refused, and told of", async () => {
  const unfollowed: string[] = [];
  const { connection, say, close } = await scripted({ unfollowed: (channel) => unfollowed.push(channel) });
  const followed = connection.follow("SSUBSCRIBE", "a").catch((error: unknown) => error);
  const call = connection.send(["GET", "1"]);
  say(`${pushed("sunsubscribe", "a")}-MOVED 1 127.0.0.1:1\r\n$3\r\none\r\n`);
  expect(await followed).toBeInstanceOf(RedisRefusal);
  expect(await call).toBe("one");
  expect(unfollowed).toEqual(["a"]);
  close();
});
