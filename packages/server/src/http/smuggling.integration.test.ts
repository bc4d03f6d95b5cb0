/**
 * HTTP request smuggling: requests that two readers could take apart differently. Behind a proxy the difference would be a request that the
 * proxy never saw. Each is sent with another request behind it, which must not be answered.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openSocket } from "../../test/support/raw-socket.ts";
import { API_KEY, startServer, type TestServer } from "../../test/support/server.ts";

const HEAD = `Host: a\r\nAuthorization: Bearer ${API_KEY}\r\nContent-Type: application/json\r\n`;
const BODY = '{"channel":"a","data":1}';
const CHUNKS = `18\r\n${BODY}\r\n0\r\n\r\n`;
const BEHIND = `GET /api/stats HTTP/1.1\r\n${HEAD}\r\n`;

let server: TestServer;

beforeAll(async () => {
  // With all that it needs in this process it answers at once: the runtime ends a connection on which a request comes while another one is at work elsewhere.
  server = await startServer({ engine: "memory", workers: "1" });
});

afterAll(() => server.stop());

function publish(headers: string, body = BODY): string {
  return `POST /api/publish HTTP/1.1\r\n${HEAD}${headers}\r\n${body}`;
}

/** Statuses of all that was answered until the server closed, and the whole of it. */
async function exchange(
  ...parts: readonly string[]
): Promise<{ readonly statuses: readonly string[]; readonly text: string }> {
  const socket = await openSocket(Number(new URL(server.url).port));
  try {
    socket.send(...parts.map((part) => Buffer.from(part, "latin1")));
    // The other request may not end before the first was looked at.
    socket.send("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const text = await socket.readEnd();
    return { statuses: [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1] ?? ""), text };
  } finally {
    socket.destroy();
  }
}

const CHUNKED = "Transfer-Encoding: chunked\r\n";

const REFUSED: Readonly<Record<string, string>> = {
  "both lengths, the chunks good": publish(`Content-Length: 24\r\n${CHUNKED}`, CHUNKS),
  "both lengths, the other way around": publish(`${CHUNKED}Content-Length: 4\r\n`, CHUNKS),
  "two lengths": publish("Content-Length: 24\r\nContent-Length: 2\r\n"),
  "a list of lengths": publish("Content-Length: 24, 24\r\n"),
  "a length with a plus sign": publish("Content-Length: +24\r\n"),
  "a negative length": publish("Content-Length: -24\r\n"),
  "a length in hexadecimal": publish("Content-Length: 0x18\r\n"),
  "a length with a space in it": publish("Content-Length: 2 4\r\n"),
  "a length that is empty": publish("Content-Length:\r\n"),
  "a length beyond 64 bits": publish("Content-Length: 18446744073709551640\r\n"),
  "white space before the colon": publish("Content-Length : 24\r\n"),
  "a folded line": publish("X: a\r\n b\r\nContent-Length: 24\r\n"),
  "a folded coding": publish("Transfer-Encoding:\r\n chunked\r\n", CHUNKS),
  "a fold behind the request line": `POST /api/publish HTTP/1.1\r\n X: y\r\n${HEAD}Content-Length: 24\r\n\r\n${BODY}`,
  "coding identity": publish("Transfer-Encoding: identity\r\nContent-Length: 24\r\n"),
  "coding gzip, then chunked": publish("Transfer-Encoding: gzip, chunked\r\n", CHUNKS),
  "chunked, but not last": publish("Transfer-Encoding: chunked, gzip\r\n", CHUNKS),
  "chunked twice": publish(`${CHUNKED}${CHUNKED}`, CHUNKS),
  "chunked, then identity": publish(`${CHUNKED}Transfer-Encoding: identity\r\n`, CHUNKS),
  "a coding that only looks like chunked": publish("Transfer-Encoding: xchunked\r\n", CHUNKS),
  "a vertical tab before the coding": publish("Transfer-Encoding: \x0bchunked\r\n", CHUNKS),
  "white space before the colon of the coding": publish("Transfer-Encoding : chunked\r\n", CHUNKS),
  "chunks in HTTP/1.0": `POST /api/publish HTTP/1.0\r\n${HEAD}${CHUNKED}\r\n${CHUNKS}`,
  "a chunk extension that ends with a bare LF": publish(CHUNKED, `18;\n${BODY}\r\n0\r\n\r\n`),
  "chunks with bare LF": publish(CHUNKED, `18\n${BODY}\n0\n\n`),
  "a chunk size that is no number": publish(CHUNKED, `zz\r\n${BODY}\r\n0\r\n\r\n`),
  "a negative chunk size": publish(CHUNKED, `-18\r\n${BODY}\r\n0\r\n\r\n`),
  "a chunk size with a plus sign": publish(CHUNKED, `+18\r\n${BODY}\r\n0\r\n\r\n`),
  "a chunk size with 0x": publish(CHUNKED, `0x18\r\n${BODY}\r\n0\r\n\r\n`),
  "a chunk size with a space": publish(CHUNKED, `18 \r\n${BODY}\r\n0\r\n\r\n`),
  "a chunk size beyond 64 bits": publish(CHUNKED, `10000000000000018\r\n${BODY}\r\n0\r\n\r\n`),
  "a chunk longer than its size": publish(CHUNKED, `10\r\n${BODY}\r\n0\r\n\r\n`),
  "a chunk without its end": publish(CHUNKED, `18\r\n${BODY}XX0\r\n\r\n`),
  "no Host": `GET /healthz HTTP/1.1\r\n\r\n`,
  "bare LF in the head": "GET /healthz HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
  "bare CR in a value": "GET /healthz HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
  "NUL in a value": "GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
  "a header without a colon": "GET /healthz HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n",
  "a header without a name": "GET /healthz HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
  "the beginning of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
};

for (const [name, request] of Object.entries(REFUSED)) {
  test(`[AP-23] refused with 400, and what follows is no request: ${name}`, async () => {
    const { statuses, text } = await exchange(request, BEHIND);
    expect([...statuses]).toEqual(["400"]);
    expect(text).not.toContain("uptimeMs");
  });
}

describe("nothing of it was carried out", () => {
  test("[AP-23] no request that was refused has published", async () => {
    expect((await server.api("GET", "/api/channels")).body).toMatchObject({ channels: [] });
  });
});

const ODD_LINES: Readonly<Record<string, string>> = {
  "no version": "GET /healthz\r\n\r\n",
  "another version": "GET /healthz HTTP/1.2\r\nHost: a\r\n\r\n",
  "a space in the target": "GET /healthz x HTTP/1.1\r\nHost: a\r\n\r\n",
  "tabs for spaces": "GET\t/healthz\tHTTP/1.1\r\nHost: a\r\n\r\n",
  "NUL in the target": "GET /health\0z HTTP/1.1\r\nHost: a\r\n\r\n",
  "bare LF": "GET /healthz HTTP/1.1\nHost: a\n\n",
};

for (const [name, request] of Object.entries(ODD_LINES)) {
  test(`[AP-23] a request line that is none ends the connection: ${name}`, async () => {
    const { statuses, text } = await exchange(request, BEHIND);
    expect([...statuses]).toEqual(["505"]);
    expect(text).not.toContain("uptimeMs");
  });
}

/** What RFC 9112 allows is read as it says: the request behind it is one, at its own place. */
const TAKEN: Readonly<Record<string, string>> = {
  "a length": publish("Content-Length: 24\r\n"),
  "a tab before the length": publish("Content-Length:\t24\r\n"),
  "the same length twice": publish("Content-Length: 24\r\nContent-Length: 24\r\n"),
  chunks: publish(CHUNKED, CHUNKS),
  "the coding in capitals": publish("TRANSFER-ENCODING: CHUNKED\r\n", CHUNKS),
  "chunk extensions": publish(CHUNKED, `18;a=b;c="d"\r\n${BODY}\r\n0;e\r\n\r\n`),
  "the absolute form": `POST http://elsewhere/api/publish HTTP/1.1\r\n${HEAD}Content-Length: 24\r\n\r\n${BODY}`,
  "a header with an underscore": publish("Content_Length: 2\r\nContent-Length: 24\r\n"),
};

for (const [name, request] of Object.entries(TAKEN)) {
  test(`[AP-19] read as RFC 9112 says: ${name}`, async () => {
    const { statuses } = await exchange(request, BEHIND);
    expect([...statuses]).toEqual(["200", "200", "200"]);
  });
}

test("[AP-23] trailers are no request, and no request stands in them", async () => {
  for (const trailer of ["X: y\r\n\r\n", BEHIND, "Content-Length: 5\r\n\r\n"]) {
    const { statuses, text } = await exchange(publish(CHUNKED, `18\r\n${BODY}\r\n0\r\n${trailer}`), BEHIND);
    expect([...statuses]).toEqual(["200", "400"]);
    expect(text).not.toContain("uptimeMs");
  }
});

/** The body is another request. Whoever answers before having read it must pass over it. */
const UNREAD: Readonly<Record<string, readonly [head: string, status: string]>> = {
  "no key": ["POST /api/publish HTTP/1.1\r\nHost: a\r\n", "401"],
  "no such path": ["POST /nothing HTTP/1.1\r\nHost: a\r\n", "404"],
  "another method": ["DELETE /api/publish HTTP/1.1\r\nHost: a\r\n", "405"],
  "a page of another origin": ["POST /poll HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\n", "403"],
  "no upgrade": ["POST /ws HTTP/1.1\r\nHost: a\r\n", "426"],
  "a body nobody asked for": ["GET /healthz HTTP/1.1\r\nHost: a\r\n", "200"],
};

for (const [name, [head, status]] of Object.entries(UNREAD)) {
  test(`[AP-23] a body that was not read is no request: ${name}`, async () => {
    const withLength = `${head}Content-Length: ${BEHIND.length}\r\n\r\n${BEHIND}`;
    const inChunks = `${head}${CHUNKED}\r\n${BEHIND.length.toString(16)}\r\n${BEHIND}\r\n0\r\n\r\n`;
    for (const request of [withLength, inChunks]) {
      const { statuses, text } = await exchange(request);
      expect([...statuses]).toEqual([status, "200"]);
      expect(text).not.toContain("uptimeMs");
    }
  });
}

test("[AP-23] what follows an upgrade that was refused is no request", async () => {
  const upgrade =
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 12\r\n";
  const { statuses, text } = await exchange(`${upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`, BEHIND);
  expect([...statuses]).toEqual(["426"]);
  expect(text).not.toContain("uptimeMs");
});

test("[AP-23] a body that is too large is read as a body to its end", async () => {
  const length = 9_000_000;
  const body = BEHIND.padEnd(length, BEHIND);
  const { statuses, text } = await exchange(
    `POST /api/publish HTTP/1.1\r\n${HEAD}Content-Length: ${length}\r\n\r\n${body}`,
  );
  expect([...statuses]).toEqual(["413", "200"]);
  expect(text).not.toContain("uptimeMs");
});
