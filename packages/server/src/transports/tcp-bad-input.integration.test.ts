/** What no client of raw TCP should send: each ends its own connection, with words where the framing has any, and nobody else notices. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect as connectTls } from "node:tls";
import { openSocket } from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectTcp, type TcpClient } from "../../test/support/tcp-client.ts";
import { withPrefix } from "../wire/length-prefix.ts";

const MESSAGE_BYTES_MAX = 4096;

let server: TestServer;
let ports: Readonly<Record<"json" | "text" | "frame", number>>;
let witness: TcpClient;

beforeAll(async () => {
  server = await startServer({
    "message-bytes-max": String(MESSAGE_BYTES_MAX),
    "channels-publish": "everybody",
    "tcp-listeners": JSON.stringify([
      { port: 0, framing: "text", channel: "bad" },
      { port: 0, framing: "frame", channel: "bad" },
    ]),
  });
  const [json = 0, text = 0, frame = 0] = server.tcpPorts;
  ports = { json, text, frame };
  witness = await connectTcp(json);
  await witness.request({ type: "subscribe", channel: "bad" });
});

afterAll(async () => {
  witness.socket.destroy();
  await server.stop();
});

/** The second client gets everything meanwhile. */
async function nobodyElseNoticed(): Promise<void> {
  const { offset } = await server.publish("bad", "to all");
  await server.publish("bad", "to all");
  const messages = await witness.received("bad", offset + 1);
  expect(messages.map((message) => message.offset)).toEqual(messages.map((_, at) => at + 1));
}

/** What has come from the clients of the listeners with a channel. */
async function published(): Promise<unknown[]> {
  const { offset } = await server.publish("bad", "to all");
  const data = (await witness.received("bad", offset)).map((message) => message.data);
  return data.filter((one) => one !== "to all");
}

async function sessions(): Promise<number> {
  return ((await server.api("GET", "/api/stats")).body as { sessions: number }).sessions;
}

async function sessionsBecome(count: number): Promise<void> {
  for (let round = 0; round < 500 && (await sessions()) !== count; round++) await Bun.sleep(10);
  expect(await sessions()).toBe(count);
}

/** Sends it with the witness listening; returns what was answered until the end. */
async function send(framing: keyof typeof ports, ...bytes: readonly (string | Uint8Array)[]): Promise<string> {
  const socket = await openSocket(ports[framing]);
  socket.send(...bytes);
  await nobodyElseNoticed();
  const answer = await socket.readEnd();
  await sessionsBecome(1);
  return answer;
}

function disconnectIn(answer: string): unknown {
  return JSON.parse(answer.trimEnd().split("\n").at(-1) ?? "");
}

const endless = "x".repeat(MESSAGE_BYTES_MAX + 1);

describe("json", () => {
  test("[TC-4] a line without end is answered messageTooLarge, and ended", async () => {
    expect(disconnectIn(await send("json", endless))).toMatchObject({
      type: "disconnect",
      code: 4207,
      reconnect: true,
    });
  });

  test("[TC-4] [FR-11] a line larger than allowed likewise; one as large as allowed is taken", async () => {
    const ping = '{"type":"ping","id":1}';
    const largest = `${ping}${" ".repeat(MESSAGE_BYTES_MAX - ping.length - 1)}\n`;
    const client = await connectTcp(ports.json);
    client.socket.send(largest);
    expect(await client.next()).toEqual({ type: "pong", id: 1 });
    client.socket.send(` ${largest}`, largest);
    // What came behind it is not looked at.
    expect((await client.readAll()).map(({ type }) => type)).toEqual(["connected", "pong", "disconnect"]);
  });

  test("what follows is not read into memory: a client that goes on sending is ended all the same", async () => {
    const socket = await openSocket(ports.json);
    const megabyte = Buffer.alloc(1024 * 1024, "x");
    for (let count = 0; count < 20; count++) socket.send(megabyte);
    expect(disconnectIn(await socket.readEnd())).toMatchObject({ code: 4207 });
    await nobodyElseNoticed();
    await sessionsBecome(1);
  });

  test("bytes without sense are answered line by line", async () => {
    const noise = Uint8Array.from({ length: 2000 }, (_, at) => (at % 100 === 99 ? 10 : (at * 7919 + 128) % 256)).map(
      (byte, at) => (at % 100 !== 99 && (byte === 10 || byte === 13) ? 0 : byte),
    );
    const client = await connectTcp(ports.json);
    client.socket.send(noise);
    for (let line = 0; line < 20; line++) expect(await client.next()).toMatchObject({ type: "error", code: 100 });
    expect(await client.request({ type: "ping" })).toMatchObject({ type: "pong" });
    client.socket.destroy();
    await nobodyElseNoticed();
    await sessionsBecome(1);
  });
});

// Browsers send a page's text to any port of any machine they reach, this one included (inter-protocol exploitation); no origin was asked for.
for (const framing of ["json", "text"] as const) {
  test(`[TC-5] a page that posts lines to the port of ${framing} has said nothing there`, async () => {
    const before = await published();
    const body = '{"type":"publish","channel":"bad","data":"from a page"}\nfrom a page\n';
    const request = fetch(`http://127.0.0.1:${ports[framing]}/`, { method: "POST", body });
    expect(await request.then(String, () => "no answer")).toBe("no answer");
    await nobodyElseNoticed();
    await sessionsBecome(1);
    expect(await published()).toEqual(before);
    if (framing === "json") {
      const answer = await send("json", "GET / HTTP/1.1\r\n", body);
      expect(disconnectIn(answer)).toMatchObject({ code: 4104, reason: expect.stringContaining("HTTP") });
    }
  });
}

describe("text", () => {
  test("[TC-4] a line without end, a NUL and bytes that are no UTF-8 end it; nothing of them is published", async () => {
    const noText = Uint8Array.of(97, 0xff, 10);
    const nul = Uint8Array.of(97, 0, 98, 10);
    const before = await published();
    for (const bytes of [endless, nul, noText]) await send("text", bytes);
    expect(await published()).toEqual(before);
  });
});

describe("frame", () => {
  for (const length of [0, 1, 2, 3]) {
    test(`[TC-4] a length of ${length} ends it`, async () => {
      await send("frame", Uint8Array.of(0, 0, 0, length));
    });
  }

  test("[TC-4] a length beyond the limit ends it before any of the body is there", async () => {
    await send("frame", Uint8Array.of(0, 0, 0x10, 1));
    await send("frame", Uint8Array.of(255, 255, 255, 255));
  });

  test("what stands behind a broken packet is not looked at, what stood before it is", async () => {
    const bytes = Buffer.concat([
      withPrefix(Buffer.from("good")),
      Uint8Array.of(0, 0, 0, 1),
      withPrefix(Buffer.from("bad")),
    ]);
    await send("frame", bytes);
    const good = Buffer.from("good").toString("base64");
    // Where the engine is another process, it may come behind the end of its sender.
    for (let round = 0; round < 500 && (await published()).length === 0; round++) await Bun.sleep(10);
    expect(await published()).toEqual([good]);
  });
});

describe.each(["json", "text", "frame"] as const)("%s", (framing) => {
  test("[TC-4] half a message and silence: it waits, and what completes it counts", async () => {
    const whole = { json: '{"type":"ping","id":1}\n', text: "whole\n", frame: withPrefix(Buffer.from("whole")) }[
      framing
    ];
    const bytes = Buffer.from(whole as string);
    const socket = await openSocket(ports[framing]);
    socket.send(bytes.subarray(0, 5));
    await nobodyElseNoticed();
    await Bun.sleep(50);
    socket.send(bytes.subarray(5));
    if (framing === "json") expect(await socket.readUntil("pong")).toContain("pong");
    else {
      const isThere = async (): Promise<boolean> =>
        (await published()).includes(framing === "text" ? "whole" : "d2hvbGU=");
      for (let round = 0; round < 500 && !(await isThere()); round++) await Bun.sleep(10);
      expect(await isThere()).toBe(true);
    }
    socket.destroy();
    // On `frame` nothing can be sent that says nothing: the next message finds out that the client is gone.
    await server.publish("bad", "to all");
    await sessionsBecome(1);
  });

  test("[TC-5] a TLS client is ended at once", async () => {
    const reason = await new Promise<string>((resolve) => {
      const socket = connectTls({ port: ports[framing], host: "127.0.0.1", rejectUnauthorized: false });
      socket.on("error", (error) => resolve(error.message));
      socket.on("end", () => resolve("ended"));
    });
    expect(reason).not.toBe("");
    await nobodyElseNoticed();
    await sessionsBecome(1);
    // The first two bytes are enough.
    const answer = await send(framing, Uint8Array.of(0x16, 0x03));
    if (framing === "json")
      expect(disconnectIn(answer)).toMatchObject({ code: 4104, reason: expect.stringContaining("TLS") });
    else expect(answer).toBe("");
  });
});
