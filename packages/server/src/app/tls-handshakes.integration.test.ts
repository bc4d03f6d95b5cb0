/** TLS handshakes that never finish, and connections that finish one and then say nothing, hundreds at once, beside clients that pay. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { targetOf } from "../../test/contracts/transport.ts";
import { certificateFolder, makeCertificate } from "../../test/support/certificates.ts";
import { KINDS } from "../../test/support/peer/transports.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";

const EACH = 40;
const WAIT_MS = 60_000;

const { folder, remove } = certificateFolder();
let server: TestServer;

beforeAll(async () => {
  const { cert, key } = makeCertificate(folder, "slow");
  server = await startServer({
    "tls-cert": cert,
    "tls-key": key,
    "request-seconds": "4",
    "connect-timeout-ms": "3000",
    "ping-interval-ms": "60000",
    "ping-timeout-ms": "1000",
  });
});
afterAll(async () => {
  await server.stop();
  remove();
});

/** The first bytes that a client says, caught on their way. */
async function clientHello(): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const trap = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (_, bytes) => resolve(Buffer.from(bytes)) },
  });
  const socket = connectTls({ port: trap.port, host: "127.0.0.1", rejectUnauthorized: false });
  socket.on("error", () => undefined);
  const hello = await promise;
  socket.destroy();
  trap.stop(true);
  return hello;
}

/** Resolves when the server has ended it. `drip`: what is said every 200 ms, one byte after another. */
function overOf(socket: Socket, drip?: Buffer): Promise<void> {
  let at = 0;
  const timer = setInterval(() => {
    if (drip === undefined || at >= drip.length || !socket.writable) return;
    socket.write(drip.subarray(at, at + 1));
    at++;
  }, 200);
  socket.on("error", () => undefined);
  socket.resume();
  return new Promise((resolve) => {
    socket.once("end", () => socket.end());
    socket.once("close", () => {
      clearInterval(timer);
      resolve();
    });
  });
}

const plain = (port: number, first: Buffer, drip?: Buffer) => (): Promise<void> => {
  const socket = connect(port, "127.0.0.1");
  socket.write(first);
  return overOf(socket, drip);
};

test(
  "[TL-7] silence, half a hello, one byte after another, a finished handshake and then nothing: all end in time, and others get everything",
  async () => {
    const { url, tcpPorts, ca } = server;
    const [tcpPort = 0] = tcpPorts;
    const hello = await clientHello();
    const paying = await Promise.all(
      KINDS.map((kind) => kind.open(targetOf(server), { subscribe: [{ channel: "news" }] })),
    );
    const secure = (port: number, first: string) => (): Promise<void> => {
      const socket = connectTls({ port, host: "127.0.0.1", ca });
      socket.write(first);
      return overOf(socket);
    };
    const kinds = [Number(new URL(url).port), tcpPort].flatMap((port) => [
      plain(port, Buffer.alloc(0)),
      plain(port, hello.subarray(0, hello.length / 2)),
      plain(port, hello.subarray(0, 5), hello.subarray(5)),
      // A whole hello, and no answer to the server's.
      plain(port, hello),
      secure(port, ""),
      secure(port, "GET / HT"),
    ]);
    const overs = kinds.flatMap((kind) => Array.from({ length: EACH }, kind));
    let over = 0;
    for (const one of overs) void one.then(() => over++);
    let published = 0;
    const began = performance.now();
    while (over < overs.length && performance.now() - began < WAIT_MS - 10_000) {
      await server.publish("news", ++published);
      await Bun.sleep(20);
    }
    expect(over).toBe(overs.length);
    const everything = Array.from({ length: published }, (_, at) => at + 1);
    for (const peer of paying) expect(await peer.offsets("news", published)).toEqual(everything);
    for (const peer of paying) peer.drop();
    const left = async (): Promise<unknown> =>
      ((await server.api("GET", "/api/stats")).body as { sessions: number }).sessions;
    for (let round = 0; round < 200 && (await left()) !== 0; round++) await Bun.sleep(50);
    expect(await left()).toBe(0);
  },
  WAIT_MS,
);
