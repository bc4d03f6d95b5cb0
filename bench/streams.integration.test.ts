/**
 * The instruments of streams and long polls count right: against a server that hands out known bytes, cut at every position,
 * and against one that holds polls.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { constants, createDeflateRaw, deflateRawSync } from "node:zlib";

import { Children } from "./children.ts";
import {
  compileNative,
  compilerPath,
  type NativeTools,
  type PollsReport,
  type StreamsReport,
  Subscribers,
  type SubscribersReport,
  type Subscription,
} from "./native.ts";

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
const children = new Children();

type Socket = Bun.Socket<{ received: string }>;

/** Answers whatever is sent to it with one text, and keeps the sockets for the test to write to. */
function startListener(answer: string, until: string) {
  const sockets: Socket[] = [];
  const listener = Bun.listen<{ received: string }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { received: "" };
      },
      data(socket, bytes) {
        socket.data.received += bytes.toString();
        if (!socket.data.received.includes(until) || sockets.includes(socket)) return;
        sockets.push(socket);
        socket.write(answer);
      },
    },
  });
  return { listener, sockets };
}

function chunk(bytes: Uint8Array | string): Buffer {
  const body = Buffer.from(bytes);
  return Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n")]);
}

async function reportWhen<Report extends SubscribersReport>(
  subscribers: Subscribers,
  done: (report: Report) => boolean,
): Promise<Report> {
  const end = performance.now() + 10_000;
  for (;;) {
    const report = await subscribers.report<Report>();
    if (done(report)) return report;
    if (performance.now() > end) throw new Error(`it stays at ${JSON.stringify(report)}`);
  }
}

const allBytes = (report: SubscribersReport, connections: number): boolean =>
  report.wireBytes === connections * connections;

const line = (time: number): string => `{"t":${time},"p":"${"abcabcabc-longwire-".repeat(3)}"}\n`;

const longText = (time: number): string => `{"t":${time},"p":"${"to be compressed ".repeat(200)}"}`;

describe.skipIf(process.platform !== "linux" || compilerPath() === undefined)("instruments of streams", () => {
  const folder = mkdtempSync(join(tmpdir(), "longwire-bench-test-"));
  let tools: NativeTools;

  beforeAll(async () => {
    tools = await compileNative(folder);
  });

  afterAll(async () => {
    await children.stopAll();
    rmSync(folder, { recursive: true, force: true });
  });

  /** As many connections as there are bytes; each gets them in two parts, cut at its own position. */
  async function readCut<Report extends SubscribersReport>(
    subscription: Subscription,
    answer: string,
    bytes: Buffer,
    done: (report: Report, connections: number) => boolean,
  ): Promise<{ report: Report; connections: number; requests: string[] }> {
    const connections = bytes.length;
    const { listener, sockets } = startListener(answer, "\n");
    const subscribers = await Subscribers.connect(children, tools, listener.port, connections, subscription);
    for (const [cut, socket] of sockets.entries()) socket.write(bytes.subarray(0, cut));
    const sent = (connections * (connections - 1)) / 2;
    await reportWhen(subscribers, ({ wireBytes }) => wireBytes === sent);
    for (const [cut, socket] of sockets.entries()) socket.write(bytes.subarray(cut));
    const report = await reportWhen<Report>(subscribers, (now) => done(now, connections));
    await subscribers.stop();
    listener.stop(true);
    return { report, connections, requests: sockets.map(({ data }) => data.received) };
  }

  test("server-sent events are counted at every cut: comments, ids and names are none", async () => {
    const events =
      'retry: 1000\n\n: a comment with "t":1\n\nid: abc\ndata: {"t":1}\n\nevent: x\ndata: {"p":2}\nid: d\n\n';
    const body = Buffer.concat([chunk(events), chunk('data:{"t":'), chunk("3}\r\n\r\n")]);
    const { report, connections, requests } = await readCut({ reading: "sse", path: "/sse" }, CHUNKED, body, allBytes);
    expect(report.frames).toBe(connections * 3);
    expect(report.messages).toBe(connections * 2);
    expect(report.bytes).toBe(connections * ('{"t":1}'.length * 2 + '{"p":2}'.length));
    expect(report.closed).toBe(0);
    expect(requests[0]).toContain("GET /sse HTTP/1.1\r\n");
    expect(requests[0]).toContain("\r\nAccept: text/event-stream\r\n");
  });

  test("lines of an HTTP body are counted at every cut: empty ones are none", async () => {
    const lines = ['{"t":1}\n{"p":1}\n', "\n", '{"t":2,"p":"', `${"x".repeat(40)}"}\n{"t":3}`, "\n"];
    const body = Buffer.concat(lines.map((part) => chunk(part)));
    const { report, connections } = await readCut({ reading: "lines", path: "/stream" }, CHUNKED, body, allBytes);
    expect(report.frames).toBe(connections * 4);
    expect(report.messages).toBe(connections * 3);
    expect(report.bytes).toBe(connections * (lines.join("").length - 5));
  });

  test("a body that ends, and a socket that ends, count as closed", async () => {
    const body = Buffer.concat([chunk('{"t":1}\n'), Buffer.from("0\r\n\r\n")]);
    const { report, connections } = await readCut(
      { reading: "lines", path: "/stream" },
      CHUNKED,
      body,
      ({ closed }, all) => closed === all,
    );
    expect(report.messages).toBe(connections);
    const { listener, sockets } = startListener(CHUNKED, "\r\n\r\n");
    const subscribers = await Subscribers.connect(children, tools, listener.port, 5, { reading: "sse", path: "/" });
    for (const socket of sockets.slice(0, 3)) socket.end();
    expect((await reportWhen(subscribers, ({ closed }) => closed >= 3)).closed).toBe(3);
    await subscribers.stop();
    listener.stop(true);
  });

  test("gzip is counted at every cut, in blocks of each kind", async () => {
    const flush = { finishFlush: constants.Z_SYNC_FLUSH };
    const blocks = [
      deflateRawSync(line(1), { ...flush, strategy: constants.Z_FIXED }),
      deflateRawSync(line(2), { ...flush, level: 0 }),
      deflateRawSync(`${line(3)}${mixedText(400)}\n`, flush),
      deflateRawSync(line(4).slice(0, 20), flush),
      deflateRawSync(line(4).slice(20), flush),
    ];
    const body = Buffer.concat([chunk(GZIP_HEADER), ...blocks.map((block) => chunk(block))]);
    const { report, connections, requests } = await readCut<StreamsReport>(
      { reading: "lines", path: "/stream", header: "Accept-Encoding: gzip" },
      `${OK}Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n`,
      body,
      allBytes,
    );
    expect(report.compressed).toBe(connections);
    expect(report.messages).toBe(connections * 4);
    expect(report.frames).toBe(connections * 5);
    expect(report.bytes).toBe(connections * ((line(1).length - 1) * 4 + 400));
    expect(requests[0]).toContain("\r\nAccept-Encoding: gzip\r\n");
  });

  test("a compressed stream may refer to what it sent long before", async () => {
    const random = mixedText(20_000);
    const { listener, sockets } = startListener(`${OK}Content-Encoding: gzip\r\n\r\n`, "\r\n\r\n");
    const path = { reading: "lines", path: "/" } as const;
    const subscribers = await Subscribers.connect(children, tools, listener.port, 2, path);
    const deflate = createDeflateRaw();
    const parts: Buffer[] = [];
    deflate.on("data", (part: Buffer) => parts.push(part));
    for (const socket of sockets) socket.write(GZIP_HEADER);
    let bytes = 0;
    for (let turn = 1; turn <= 5; turn++) {
      const text = `{"t":${turn},"p":"${random}"}`;
      bytes += text.length;
      deflate.write(`${text}\n`);
      await new Promise<void>((resolve) => deflate.flush(constants.Z_SYNC_FLUSH, resolve));
      const part = Buffer.concat(parts.splice(0));
      // From the second turn on nearly all of it is a reference.
      if (turn > 1) expect(part.length).toBeLessThan(random.length / 10);
      for (const socket of sockets) socket.write(part);
      await reportWhen(subscribers, ({ messages }) => messages === turn * 2);
    }
    expect((await subscribers.report()).bytes).toBe(bytes * 2);
    await subscribers.stop();
    listener.stop(true);
  });

  test("TCP lines are counted at every cut, and the first lines are sent with each connection's value", async () => {
    const valuesFile = join(folder, "values");
    const bytes = Buffer.from('{"t":1}\r\n\n{"p":1}\n{"t":2}\n{"type":"subscribed"}\n{"t":3}\n');
    writeFileSync(
      valuesFile,
      Array.from({ length: bytes.length }, (_, index) => `{"a":${index}}\t{"b":1}\t\n`).join(""),
    );
    const { report, connections, requests } = await readCut(
      { reading: "tcp", path: "/", first: "%s", valuesFile, ready: '"type":"subscribed"' },
      '{"type":"subscribed"}\n',
      bytes,
      allBytes,
    );
    expect(report.messages).toBe(connections * 3);
    expect(report.frames).toBe(connections * 5);
    expect(report.bytes).toBe(connections * ('{"t":1}'.length * 4 + '{"type":"subscribed"}'.length));
    const expected = Array.from({ length: connections }, (_, index) => `{"a":${index}}\n{"b":1}\n`);
    expect(requests.toSorted()).toEqual(expected.toSorted());
  });

  test("a refused stream is an error that shows the answer", async () => {
    const { listener } = startListener("HTTP/1.1 400 Bad Request\r\nContent-Length: 7\r\n\r\nno good", "\r\n\r\n");
    const connecting = Subscribers.connect(children, tools, listener.port, 1, { reading: "sse", path: "/" });
    expect(await connecting.then(() => "connected", String)).toContain("no good");
    listener.stop(true);
  });

  test("deflated binary messages and compressed messages of a WebSocket are read", async () => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no", { status: 400 })),
      websocket: {
        perMessageDeflate: true,
        open: (socket) => void socket.subscribe("bench"),
        message: () => undefined,
      },
    });
    for (const subscription of [
      { path: "/", deflated: true },
      { path: "/", header: "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover" },
    ]) {
      const subscribers = await Subscribers.connect(children, tools, server.port ?? 0, 10, subscription);
      for (let time = 1; time <= 3; time++) {
        if ("deflated" in subscription) server.publish("bench", deflateRawSync(longText(time)));
        else server.publish("bench", longText(time), true);
      }
      const report = await reportWhen(subscribers, ({ messages }) => messages === 30);
      expect(report.bytes).toBe(30 * longText(1).length);
      expect(report.wireBytes).toBeLessThan(report.bytes / 10);
      await subscribers.stop();
    }
    await server.stop(true);
  });
});

/** Text that needs codes of many lengths. */
function mixedText(length: number): string {
  let seed = 7;
  return Array.from({ length }, () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return String.fromCharCode(97 + Math.floor(((seed >>> 8) % 26) * (((seed >>> 16) % 26) / 25)));
  }).join("");
}

/** Holds polls: a cursor is how many publications a client has seen. */
function startPolls() {
  const log: string[] = [];
  const waiting = new Set<() => void>();
  const answer = (from: number): Response => {
    const frames = log
      .slice(from)
      .map((data, index) => `{"type":"message","offset":${from + index + 1},"data":${data}}`);
    return new Response(`{"cursor":"c${log.length}","frames":[${frames.join(",")}]}`);
  };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch(request) {
      const since = new URL(request.url).searchParams.get("since");
      const from = since === null ? undefined : Number(since.slice(1));
      if (from === undefined || from < log.length) return answer(from ?? log.length);
      return new Promise<Response>((resolve) => waiting.add(() => resolve(answer(from))));
    },
  });
  const flush = (): void => {
    for (const wake of waiting) wake();
    waiting.clear();
  };
  return { server, port: server.port ?? 0, log, flush, waiting };
}

describe.skipIf(process.platform !== "linux" || compilerPath() === undefined)("instrument of long polls", () => {
  const CLIENTS = 30;
  const folder = mkdtempSync(join(tmpdir(), "longwire-bench-test-"));
  let tools: NativeTools;

  beforeAll(async () => {
    tools = await compileNative(folder);
  });

  afterAll(async () => {
    await children.stopAll();
    rmSync(folder, { recursive: true, force: true });
  });

  test("every publication is counted once, and each answer is followed by the next poll", async () => {
    const { server, port, log, flush, waiting } = startPolls();
    const subscription = { reading: "poll", path: "/poll?wait=25" } as const;
    const subscribers = await Subscribers.connect(children, tools, port, CLIENTS, subscription);
    for (let turn = 1; turn <= 3; turn++) {
      while (waiting.size < CLIENTS) await Bun.sleep(1);
      for (let index = 0; index < turn; index++) log.push(`{"t":${turn}}`);
      flush();
    }
    const report = await reportWhen<PollsReport>(subscribers, ({ messages }) => messages === CLIENTS * 6);
    while (waiting.size < CLIENTS) await Bun.sleep(1);
    flush();
    const afterwards = await reportWhen<PollsReport>(subscribers, ({ empty }) => empty === CLIENTS);
    await subscribers.stop();
    await server.stop(true);
    expect(report).toMatchObject({ answers: CLIENTS * 3, empty: 0, refused: 0, repeats: 0, closed: 0 });
    expect(afterwards.answers).toBe(CLIENTS * 4);
  });

  test("with pollOnce nobody polls again until asked", async () => {
    const { server, port, log, flush, waiting } = startPolls();
    const subscription = { reading: "poll", path: "/poll?wait=25", pollOnce: true } as const;
    const subscribers = await Subscribers.connect(children, tools, port, CLIENTS, subscription);
    while (waiting.size < CLIENTS) await Bun.sleep(1);
    expect((await subscribers.report<PollsReport>()).waiting).toBe(CLIENTS);
    log.push('{"t":1}');
    flush();
    const answered = await reportWhen<PollsReport>(subscribers, ({ answers }) => answers === CLIENTS);
    expect(answered).toMatchObject({ messages: CLIENTS, waiting: 0 });
    await subscribers.poll();
    while (waiting.size < CLIENTS) await Bun.sleep(1);
    expect((await subscribers.report<PollsReport>()).waiting).toBe(CLIENTS);
    await subscribers.stop();
    await server.stop(true);
  });

  test("an answer is read at every cut; what was seen before is a repeat", async () => {
    const body =
      '{"cursor":"two","frames":[{"offset":5,"data":{"t":1}},{"offset":5,"data":{"t":1}},{"offset":6,"data":{"t":2}}]}';
    const bytes = Buffer.from(`${OK}Content-Length: ${body.length}\r\n\r\n${body}`);
    const first = '{"cursor":"one","frames":[]}';
    const { listener, sockets } = startListener(`${OK}content-length: ${first.length}\r\n\r\n${first}`, "\r\n\r\n");
    const subscription = { reading: "poll", path: "/poll?x=1", pollOnce: true } as const;
    const subscribers = await Subscribers.connect(children, tools, listener.port, bytes.length, subscription);
    for (const [cut, socket] of sockets.entries()) socket.write(bytes.subarray(0, cut));
    const sent = (bytes.length * (bytes.length - 1)) / 2;
    await reportWhen(subscribers, ({ wireBytes }) => wireBytes === sent);
    for (const [cut, socket] of sockets.entries()) socket.write(bytes.subarray(cut));
    const report = await reportWhen<PollsReport>(subscribers, ({ answers }) => answers === bytes.length);
    expect(report.messages).toBe(bytes.length * 3);
    expect(report.repeats).toBe(bytes.length);
    expect(report.bytes).toBe(bytes.length * body.length);
    await subscribers.poll();
    const cursors = (): (string | undefined)[] =>
      sockets.map(({ data }) => [...data.received.matchAll(/GET (\S+) /g)].map(([, path]) => path).join(" "));
    const polled = "/poll?x=1 /poll?x=1&since=one /poll?x=1&since=two";
    while (cursors().some((paths) => paths !== polled)) await Bun.sleep(1);
    await subscribers.stop();
    listener.stop(true);
  });

  test("refusals stop a client, a goodbye counts as closed", async () => {
    const { listener, sockets } = startListener(`${OK}Content-Length: 14\r\n\r\n{"cursor":"a"}`, "\r\n\r\n");
    const subscription = { reading: "poll", path: "/poll?" } as const;
    const subscribers = await Subscribers.connect(children, tools, listener.port, 5, subscription);
    const goodbye = '{"cursor":"b","frames":[{"type":"disconnect"}]}';
    for (const [index, socket] of sockets.entries()) {
      if (index < 2) socket.write(`${OK}Content-Length: ${goodbye.length}\r\n\r\n${goodbye}`);
      else if (index < 4) socket.write("HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nfull");
    }
    const report = await reportWhen<PollsReport>(subscribers, ({ answers }) => answers === 4);
    expect(report).toMatchObject({ closed: 2, refused: 2, messages: 0, waiting: 1 });
    await subscribers.stop();
    listener.stop(true);
  });
});
