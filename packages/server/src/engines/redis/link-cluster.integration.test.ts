import { expect, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import { linkSettings, RecordingLog } from "../../../test/support/redis-broker.ts";
import { until } from "../../../test/support/redis-wait.ts";
import { systemClock } from "../../base/clock.ts";
import { openLink } from "./link-open.ts";

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

/** A Cluster of one that says what the test says to those who want to follow. */
async function fakeCluster(onFollow: (channel: string) => string) {
  const INFO = "redis_version:7.0.15\r\nredis_mode:cluster\r\nrole:master\r\n";
  let pushTo: Socket | undefined;
  let port = 0;
  const answer = ([word = "", ...rest]: readonly string[]): string => {
    if (word === "INFO") return bulk(INFO);
    if (word === "CLUSTER") return `*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n${bulk("127.0.0.1")}:${port}\r\n`;
    if (word === "EVALSHA") return "_\r\n";
    const [channel = ""] = rest;
    if (word === "SUNSUBSCRIBE" || channel.includes("trial")) return pushed(word.toLowerCase(), channel);
    return word === "SSUBSCRIBE" ? onFollow(channel) : "+OK\r\n";
  };
  const server = createServer((socket) => {
    pushTo = socket;
    let text = "";
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      text += bytes.toString();
      for (let command; (command = readCommand(text)) !== undefined; text = text.slice(command.end))
        socket.write(answer(command.words));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ({ port } = server.address() as { port: number });
  return { url: `redis://127.0.0.1:${port}`, push: (text: string) => pushTo?.write(text), close: () => server.close() };
}

function pushed(word: string, channel: string, last = ":1\r\n"): string {
  return `>3\r\n${bulk(word)}${bulk(channel)}${last}`;
}

/** The first command; undefined: it has not come whole. The texts here are plain ASCII. */
function readCommand(text: string): { words: string[]; end: number } | undefined {
  const words: string[] = [];
  let end = text.indexOf("\r\n") + 2;
  const count = Number(text.slice(1, end));
  if (end < 2) return undefined;
  while (words.length < count) {
    const lineEnd = text.indexOf("\r\n", end);
    const length = Number(text.slice(end + 1, lineEnd));
    if (lineEnd < 0 || text.length < lineEnd + length + 4) return undefined;
    words.push(text.slice(lineEnd + 2, lineEnd + 2 + length));
    end = lineEnd + length + 4;
  }
  return { words, end };
}

// Only a redirection was followed up: what was refused for another reason was followed by nobody any more, on a connection that lives.
test("[RD-11] what cannot be followed again for a moment is followed later", async () => {
  let follows = 0;
  const cluster = await fakeCluster((channel) =>
    ++follows === 2 ? "-CLUSTERDOWN The cluster is down\r\n" : pushed("ssubscribe", channel),
  );
  const settings = linkSettings({ mode: "cluster", urls: [cluster.url] });
  const link = await openLink({ settings, clock: systemClock, log: new RecordingLog() });
  const heard: string[] = [];
  let returns = 0;
  link.onReturn(() => returns++);
  await link.follow("test{b00}:c:a", (message) => heard.push(message.toString()));
  cluster.push(pushed("sunsubscribe", "test{b00}:c:a"));
  await until("it is followed again", () => Promise.resolve(follows === 3));
  await until("the return", () => Promise.resolve(returns > 1));
  cluster.push(pushed("smessage", "test{b00}:c:a", bulk("hello")));
  await until("the message", () => Promise.resolve(heard.length === 1));
  expect(heard).toEqual(["hello"]);
  await link.close();
  cluster.close();
});
