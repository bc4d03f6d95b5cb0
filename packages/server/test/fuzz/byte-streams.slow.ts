/**
 * A whole gateway against damaged bytes over real sockets: raw TCP, WebSocket frames behind a good handshake, requests of one-way transports,
 * and HTTP itself. A client beside them is served to the end; nothing fails inside; memory and descriptors come back.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { DISCONNECTS, ERRORS } from "@longwire/protocol";
import type { Random } from "@longwire/protocol/test/random";
import type { LogFields, Logger } from "../../src/base/log.ts";
import { withPrefix } from "../../src/wire/length-prefix.ts";
import { closePayload, upgradeRequest, webSocketFrame } from "../support/raw-socket.ts";
import { API_KEY, startServer, type TestServer } from "../support/server.ts";
import { connectClient, type TestClient } from "../support/ws-client.ts";
import { mutateBytes, mutateText, randomBytes } from "./mutator.ts";
import { expectNoInsides, fuzzRun } from "./run.ts";
import { ODD_NAMES } from "./schema-input.ts";

/** Connections that are open at a time. */
const OPEN_MAX = 64;
const ANSWER_BYTES_MAX = 32 * 1024;

const FRAMES = [
  '{"type":"connect","id":1}',
  '{"type":"subscribe","id":2,"channel":"a","since":"earliest","presence":{"x":1},"events":true}',
  '{"type":"publish","channel":"a","data":{"x":[1,2,3]},"id":3,"key":"k"}',
  '{"type":"history","channel":"a","id":4,"limit":5}',
  '{"type":"presence","channel":"a","id":5}',
  '{"type":"unsubscribe","channel":"a"}',
  '{"type":"ping","id":6}',
  '{"type":"ack","channel":"a","offset":1}',
];

let server: TestServer;
let httpPort: number;
let bystander: TestClient;
let published = 0;
const errors: LogFields[] = [];
const rejections: unknown[] = [];
const quiet = (): void => undefined;
const noteRejection = (reason: unknown): void => void rejections.push(reason);
const log: Logger = {
  debug: quiet,
  info: quiet,
  warn: quiet,
  error: (event, fields) => void errors.push({ event, ...fields }),
};

beforeAll(async () => {
  process.on("unhandledRejection", noteRejection);
  server = await startServer(
    {
      "channels-publish": "everybody",
      "message-bytes-max": "4096",
      "channels-history-seconds": "2",
      "resume-seconds": "0",
      "ping-interval-ms": "3000",
      "ping-timeout-ms": "10000",
      "tcp-listeners": JSON.stringify([
        { port: 0, framing: "text", channel: "bad" },
        { port: 0, framing: "frame", channel: "bad" },
      ]),
    },
    log,
  );
  httpPort = Number(new URL(server.url).port);
  bystander = await connectClient(server.url);
  await bystander.request({ type: "subscribe", channel: "by:stander" });
});

afterAll(async () => {
  bystander.terminate();
  await server.stop();
  process.off("unhandledRejection", noteRejection);
});

/** Connections that were opened, said their part, and are cut when enough others came: what they were answered is looked at then. */
class Attackers {
  answered = 0;
  readonly #open: { readonly socket: Socket; answered: string; readonly input: Buffer }[] = [];

  constructor(private readonly look: (answered: string) => void) {}

  async attack(port: number, input: Uint8Array, ends: boolean): Promise<void> {
    const one = { socket: connect(port, "127.0.0.1"), answered: "", input: Buffer.from(input) };
    this.#open.push(one);
    one.socket.on("error", quiet);
    one.socket.on("data", (bytes) => {
      if (one.answered.length < ANSWER_BYTES_MAX) one.answered += bytes.toString("latin1");
    });
    if (ends) one.socket.end(input);
    else one.socket.write(input);
    if (this.#open.length <= OPEN_MAX) return;
    // So that the server gets its turn.
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#finish();
  }

  async finish(): Promise<void> {
    await Bun.sleep(300);
    while (this.#open.length > 0) this.#finish();
    for (let round = 0; round < 200 && (await sessions()) > 1; round++) {
      // Of those that have closed their side first and gone then, only sending tells (TC-6).
      await server.publish("bad", 1);
      await Bun.sleep(50);
    }
    expect(await sessions()).toBe(1);
  }

  #finish(): void {
    const one = this.#open.shift();
    if (one === undefined) return;
    one.socket.destroy();
    if (one.answered !== "") this.answered++;
    try {
      expectNoInsides(one.answered);
      if (/"code":200\b/.test(one.answered)) throw new Error("answered `internal`");
      this.look(one.answered);
    } catch (cause) {
      throw new Error(`${JSON.stringify(one.input.toString("latin1"))}: ${String(cause)}`, { cause });
    }
  }
}

async function sessions(): Promise<number> {
  return ((await server.api("GET", "/api/stats")).body as { sessions: number }).sessions;
}

async function attackWith(
  name: string,
  counts: { readonly short: number; readonly full: number },
  make: (random: Random) => { readonly port: number; readonly bytes: Uint8Array },
  look: (answered: string) => void = quiet,
): Promise<void> {
  const run = fuzzRun(counts);
  const calm = await run.calm();
  const attackers = new Attackers(look);
  await run.each(name, async (random, n) => {
    const { port, bytes } = make(random);
    await attackers.attack(port, bytes, random.chance(20));
    if (errors.length > 0) throw new Error(`logged: ${JSON.stringify(errors[0])} ${String(errors[0]?.["error"])}`);
    if (n % 200 === 0) await expectServed();
  });
  await attackers.finish();
  await expectServed();
  process.stdout.write(`fuzz: ${name}: ${attackers.answered} were answered\n`);
  // Else it was never heard.
  expect(attackers.answered).toBeGreaterThan(run.count / 4);
  expect([errors, rejections]).toEqual([[], []]);
  await calm.isBack();
}

/** Whoever pays gets everything, in order. */
async function expectServed(): Promise<void> {
  await server.publish("by:stander", ++published);
  const messages = await bystander.received("by:stander", published, 60_000);
  const last = messages.at(-1);
  if (last?.data !== published || last.offset !== published)
    throw new Error(`the bystander has ${JSON.stringify(last)}`);
}

test("[TC-4] [TC-5] damaged streams over raw TCP", async () => {
  const lines = Buffer.from(`${FRAMES.join("\n")}\n`);
  const packets = Buffer.concat(FRAMES.map((frame) => withPrefix(Buffer.from(frame))));
  const good = [lines, packets];
  await attackWith("tcp sockets", { short: 300, full: 20_000 }, (random) => ({
    port: random.pick(server.tcpPorts),
    bytes: random.chance(10) ? randomBytes(random, 600) : mutateBytes(random, random.pick(good), good),
  }));
});

test("[WS-2] [WS-12] damaged frames on WebSockets", async () => {
  const paths = ["/ws", "/ws?channels=a&compress=deflate", "/ws?frames=data&channels=a", "/raw/a"];
  const good = [
    ...FRAMES.map((frame) => webSocketFrame("text", frame)),
    webSocketFrame("binary", "bytes"),
    webSocketFrame("ping", "are you there"),
    webSocketFrame("pong"),
    webSocketFrame("close", closePayload(1000, "bye")),
    webSocketFrame("text", "frag", { fin: false }),
    webSocketFrame("continuation", "ment"),
    webSocketFrame("text", "x".repeat(5000)),
    webSocketFrame("text", "", { length: 2 ** 40 }),
    webSocketFrame("text", "y", { mask: false }),
    webSocketFrame(3, "?", { reserved: 7 }),
  ];
  const anyFrame = (random: Random): Uint8Array => {
    const frame = random.pick(good);
    if (random.chance(5)) return randomBytes(random, 60);
    return random.chance(50) ? frame : mutateBytes(random, frame, good);
  };
  await attackWith("websocket frames", { short: 300, full: 30_000 }, (random) => {
    const handshake = Buffer.from(upgradeRequest(httpPort, random.pick(paths)));
    const frames = Array.from({ length: 1 + random.below(6) }, () => anyFrame(random));
    return { port: httpPort, bytes: Buffer.concat([handshake, ...frames]) };
  });
});

const CODES = new Set<number>([...Object.values(ERRORS), ...Object.values(DISCONNECTS)].map(({ code }) => code));

/** A refusal is JSON with a code of the table. */
function lookAtRefusal(answered: string): void {
  const [head = "", ...rest] = answered.split("\r\n\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1]);
  const body = rest.join("\r\n\r\n").slice(0, length);
  if (status === 500) throw new Error(`answered ${answered}`);
  if (!(status >= 400) || !/\r\ncontent-type: application\/json/i.test(head) || body.length < length) return;
  const { error } = JSON.parse(Buffer.from(body, "latin1").toString()) as {
    readonly error?: { readonly code: number };
  };
  if (!CODES.has(error?.code ?? 0)) throw new Error(`answered ${answered}`);
}

const QUERIES = [
  "channels=a,b&wait=0",
  "channel=a&channel=b&since=earliest&wait=0&quiet=true",
  "channels=a&token=x.y.z",
  "channels=a&since=YT1lLjA&client=phone",
  "commands=%7B%22type%22%3A%22subscribe%22%2C%22channel%22%3A%22a%22%7D&wait=0",
  "session=abc&frames=data&named=true&lastEventId=YT1lLjA",
];
const PATHS = ["/sse", "/sse/a", "/stream", "/poll", "/send"];

function oneWayRequest(random: Random): string {
  const isPost = random.chance(50);
  const path = random.chance(90)
    ? random.pick(PATHS)
    : `/sse/${encodeURIComponent(random.pick(ODD_NAMES).toWellFormed())}`;
  const query = random.chance(30) ? random.pick(QUERIES) : mutateText(random, random.pick(QUERIES), QUERIES);
  const odd = encodeURIComponent(random.pick(ODD_NAMES).toWellFormed());
  const target = `${path}?${Buffer.from(query)
    .toString("latin1")
    .replaceAll(/[\s\0]/g, "%20")}${random.chance(30) ? `&channel=${odd}` : ""}`;
  const body = isPost ? mutateText(random, FRAMES.join("\n"), FRAMES) : "";
  const more = [
    random.chance(15) && "Accept-Encoding: gzip",
    random.chance(10) && "Last-Event-ID: YT1lLjA",
    random.chance(10) &&
      `Origin: ${random.pick(["null", "http://localhost", "https://evil.example", "x", "http://[::1"])}`,
    random.chance(10) && "Authorization: Bearer x.y.z",
    random.chance(10) && `Cookie: a=${"b".repeat(random.below(50))}; \u00ff`,
    isPost && `Content-Length: ${Buffer.byteLength(body)}`,
  ].filter((line) => line !== false);
  return `${isPost ? "POST" : "GET"} ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n${more.map((line) => `${line}\r\n`).join("")}\r\n${body}`;
}

test("[OW-3] [SD-1] damaged queries and bodies of one-way transports", async () => {
  await attackWith(
    "one-way requests",
    { short: 400, full: 30_000 },
    (random) => ({ port: httpPort, bytes: Buffer.from(oneWayRequest(random)) }),
    lookAtRefusal,
  );
});

test("[AP-19] [WS-1] damaged HTTP", async () => {
  const good = [
    `POST /api/publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${API_KEY}\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n{"channel":"a","data":1}`,
    `POST /api/publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${API_KEY}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n18\r\n{"channel":"a","data":1}\r\n0\r\n\r\n`,
    "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.0\r\n\r\n",
    "OPTIONS /sse HTTP/1.1\r\nHost: a\r\nOrigin: http://localhost\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    upgradeRequest(httpPort, "/ws?channels=a", {
      Origin: "http://127.0.0.1",
      "Sec-WebSocket-Protocol": "longwire, token.x",
    }),
    "GET /demo/ HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br\r\nIf-None-Match: x\r\n\r\n",
  ].map((text) => Buffer.from(text));
  await attackWith(
    "http bytes",
    { short: 300, full: 30_000 },
    (random) => ({
      port: httpPort,
      bytes: random.chance(5) ? randomBytes(random, 300) : mutateBytes(random, random.pick(good), good),
    }),
    lookAtRefusal,
  );
});
