/**
 * HTTP request smuggling through nginx as docs/transports.md sets it up: it closes `/api/` to the world. What is hidden in another request must not
 * get there, whatever the two take for its end.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import { openSocket, RawSocket } from "longwire/test/raw-socket";
import { API_KEY, startServer, type TestServer } from "longwire/test/server";
import { type Proxy, startProxy } from "./support/proxies.ts";

let server: TestServer;
let proxy: Proxy;

beforeAll(async () => {
  server = await startServer();
  proxy = await startProxy("nginx", { http: server.url, tcp: server.tcpPorts[0] ?? 0 });
});

afterAll(async () => {
  await proxy.stop();
  await server.stop();
});

const BODY = '{"channel":"smuggled","data":1}';
const HIDDEN = `POST /api/publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${API_KEY}\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
const SIZE = HIDDEN.length.toString(16);

function openTls(): Promise<RawSocket> {
  const ca = readFileSync(proxy.certificate);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: "127.0.0.1",
      port: Number(new URL(proxy.url).port),
      ca,
      ALPNProtocols: ["http/1.1"],
    });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      socket.off("error", reject);
      resolve(new RawSocket(socket));
    });
  });
}

/** Sends it twice, with a good request behind: what the first left behind for the second would show. Resolves to the statuses. */
async function attack(request: string): Promise<string[]> {
  const statuses: string[] = [];
  for (let round = 0; round < 2; round++) {
    const socket = await openTls();
    socket.send(Buffer.from(request, "latin1"), "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const text = await socket.readEnd(2000).catch(() => "");
    statuses.push(...[...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1] ?? ""));
    socket.destroy();
  }
  return statuses;
}

async function expectNothingSmuggled(): Promise<void> {
  expect((await server.api("GET", "/api/channels?prefix=smuggled")).body).toMatchObject({ channels: [] });
}

const outer = (headers: string, body: string): string => `POST /send HTTP/1.1\r\nHost: a\r\n${headers}\r\n${body}`;
const CHUNKED = "Transfer-Encoding: chunked\r\n";

const ATTACKS: Readonly<Record<string, string>> = {
  "the length of the one, the chunks of the other": outer(
    `Content-Length: ${HIDDEN.length + 5}\r\n${CHUNKED}`,
    `0\r\n\r\n${HIDDEN}`,
  ),
  "the chunks of the one, the length of the other": outer(
    `${CHUNKED}Content-Length: 4\r\n`,
    `${SIZE}\r\n${HIDDEN}\r\n0\r\n\r\n`,
  ),
  "two lengths": outer(`Content-Length: 0\r\nContent-Length: ${HIDDEN.length}\r\n`, HIDDEN),
  "a coding that only one of them knows": outer(
    `Transfer-Encoding: xchunked\r\nContent-Length: ${HIDDEN.length + 5}\r\n`,
    `0\r\n\r\n${HIDDEN}`,
  ),
  "a folded coding": outer(
    `Transfer-Encoding:\r\n chunked\r\nContent-Length: ${HIDDEN.length + 5}\r\n`,
    `0\r\n\r\n${HIDDEN}`,
  ),
  "white space before the colon": outer(
    `Transfer-Encoding : chunked\r\nContent-Length: ${HIDDEN.length + 5}\r\n`,
    `0\r\n\r\n${HIDDEN}`,
  ),
  "a coding in a header of another": outer(
    `X: y\rTransfer-Encoding: chunked\r\nContent-Length: ${HIDDEN.length + 5}\r\n`,
    `0\r\n\r\n${HIDDEN}`,
  ),
  "a chunk extension with a line break": outer(CHUNKED, `0;\n\r\n${HIDDEN}`),
  "a chunk size that wraps around": outer(CHUNKED, `10000000000000000\r\n\r\n${HIDDEN}`),
  trailers: outer(CHUNKED, `0\r\nX: y\r\n${HIDDEN}`),
  "a length in HTTP/1.0": `POST /send HTTP/1.0\r\nHost: a\r\n${CHUNKED}Content-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
  "a body behind GET": `GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
  "an upgrade that is none": `GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n${HIDDEN}`,
  "an upgrade where there is none": `GET /healthz HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n${HIDDEN}`,
  "an upgrade to HTTP/2 without TLS": `GET /healthz HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n${HIDDEN}`,
  "line breaks in the target": `GET /healthz%0d%0a%0d%0aPOST%20/api/publish HTTP/1.1\r\nHost: a\r\n\r\n`,
};

for (const [name, request] of Object.entries(ATTACKS)) {
  test(`[AP-23] nothing gets past nginx: ${name}`, async () => {
    const statuses = await attack(request);
    // Whatever it was answered, it was answered.
    expect(statuses.length).toBeGreaterThan(0);
    await expectNothingSmuggled();
  });
}

test("[AP-23] paths that only one of them takes for /api/ do not get there", async () => {
  for (const path of [
    "/api/stats",
    "//api/stats",
    "/./api/stats",
    "/x/../api/stats",
    "/%61pi/stats",
    "/api%2fstats",
    "/sse/..%2f../api/stats",
    "http://a/api/stats",
  ]) {
    const socket = await openTls();
    socket.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${API_KEY}\r\nConnection: close\r\n\r\n`);
    const answer = await socket.readEnd();
    expect([path, answer.includes("uptimeMs")]).toEqual([path, false]);
    socket.destroy();
  }
});

test("what is hidden would be carried out, if it got there", async () => {
  const socket = await openSocket(Number(new URL(server.url).port));
  socket.send(HIDDEN);
  expect((await socket.readResponse()).status).toBe(200);
  socket.destroy();
  expect((await server.api("GET", "/api/channels?prefix=smuggled")).body).toMatchObject({
    channels: [{ channel: "smuggled" }],
  });
});
