/** Raw TCP with the tools people have at hand: nc, socat, openssl, typed as a person would type them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { API_KEY, startServer, type TestServer } from "longwire/test/server";
import { until } from "./support/wait.ts";

let server: TestServer;
let json = 0;
let text = 0;
let frame = 0;

beforeAll(async () => {
  server = await startServer({
    "channels-publish": "everybody",
    "tcp-listeners": JSON.stringify([
      { port: 0, framing: "text", channel: "chat" },
      { port: 0, framing: "frame", channel: "packets" },
    ]),
  });
  [json = 0, text = 0, frame = 0] = server.tcpPorts;
});

afterAll(() => server.stop());

/** A line of shell; returns what it printed. */
async function shell(line: string): Promise<string> {
  const child = Bun.spawn(["bash", "-c", line], { stdout: "pipe", stderr: "pipe" });
  const giveUp = setTimeout(() => child.kill("SIGKILL"), 20_000);
  const out = await new Response(child.stdout).text();
  await child.exited;
  clearTimeout(giveUp);
  return out;
}

function typesOf(out: string): string[] {
  const lines = out.split("\n").filter((line) => line !== "");
  return lines.map((line) => (JSON.parse(line) as { type: string }).type);
}

async function subscribers(channel: string): Promise<number> {
  return ((await server.api("GET", `/api/channels/${channel}`)).body as { subscribers?: number }).subscribers ?? 0;
}

/** A tool in a terminal: what is typed, and what it has printed. */
function open(...command: readonly string[]) {
  const child = Bun.spawn([...command], { stdin: "pipe", stdout: "pipe", stderr: "ignore" });
  let printed = "";
  const done = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) printed += decoder.decode(chunk, { stream: true });
  })();
  return {
    async type(line: string): Promise<void> {
      await child.stdin.write(`${line}\n`);
      await child.stdin.flush();
    },
    async prints(words: string): Promise<void> {
      await until(`${words} in ${printed}`, () => printed.includes(words));
    },
    /** Ctrl-C. */
    async interrupt(): Promise<void> {
      child.kill("SIGINT");
      await Promise.all([child.exited, done]);
    },
  };
}

test("[TC-6] nc -N: commands in, replies out, the end", async () => {
  const commands = String.raw`{"type":"publish","channel":"a","data":"from nc","id":1}\n{"type":"history","channel":"a","id":2}\n`;
  const out = await shell(`printf '${commands}' | nc -N 127.0.0.1 ${json}`);
  expect(typesOf(out).toSorted((a, b) => a.localeCompare(b))).toEqual(["connected", "history", "published"]);
});

test("[TC-1] nc by hand: subscribe, see what is published, answer, leave", async () => {
  const nc = open("nc", "127.0.0.1", String(json));
  await nc.type('{"type":"subscribe","channel":"b"}');
  await nc.prints('"type":"subscribed"');
  await server.publish("b", "by HTTP");
  await nc.prints("by HTTP");
  await nc.type("hello?");
  await nc.prints('"type":"error"');
  await nc.type('{"type":"publish","channel":"b","data":"by hand"}');
  await nc.prints("by hand");
  await nc.interrupt();
  await until("it is gone", async () => (await subscribers("b")) === 0);
});

test("[TC-3] two people with nc on a text port", async () => {
  const alice = open("nc", "127.0.0.1", String(text));
  const bob = open("nc", "127.0.0.1", String(text));
  await until("both are there", async () => (await subscribers("chat")) === 2);
  await alice.type("hi bob");
  await bob.prints("hi bob\n");
  await bob.type("hi alice");
  await alice.prints("hi alice\n");
  await alice.interrupt();
  await bob.interrupt();
});

test("[TC-2] socat, with the lines of a Windows terminal", async () => {
  const out = await shell(
    String.raw`printf '{"type":"ping","id":1}\r\n\r\n{"type":"ping","id":2}\r\n' | socat - TCP:127.0.0.1:${json}`,
  );
  expect(typesOf(out)).toEqual(["connected", "pong", "pong"]);
});

test("[TC-6] socat that only reads", async () => {
  const reader = open("bash", "-c", `socat -u TCP:127.0.0.1:${text} -`);
  await until("it is there", async () => (await subscribers("chat")) === 1);
  await server.publish("chat", "to read");
  await reader.prints("to read\n");
  await reader.interrupt();
  await server.publish("chat", "gone");
  await until("it is gone", async () => (await subscribers("chat")) === 0);
});

test("[TC-1] printf makes a packet of the framing frame", async () => {
  await shell(String.raw`printf '\0\0\0\11hello' | nc -N -w 1 127.0.0.1 ${frame}`);
  const answer = await fetch(`${server.url}/api/channels/packets/history`, {
    headers: { authorization: `Bearer ${API_KEY}` },
  });
  expect(await answer.json()).toMatchObject({ publications: [{ data: btoa("hello"), encoding: "base64" }] });
});

test("[TC-5] [TC-4] TLS and endless lines are answered, and closed", async () => {
  for (const port of [json, text, frame]) {
    const out = await shell(`openssl s_client -connect 127.0.0.1:${port} </dev/null 2>&1`);
    expect(out).toContain("no peer certificate available");
    expect(await shell(`head -c 1000000 /dev/zero | tr '\\0' x | nc -N 127.0.0.1 ${port}`)).toEqual(
      port === json ? expect.stringContaining('"code":4207') : "",
    );
  }
});
