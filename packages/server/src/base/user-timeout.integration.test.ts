import { afterAll, describe, expect, test } from "bun:test";
import { type Network, openNetwork } from "../../test/support/network.ts";
import { setUserTimeout } from "./user-timeout.ts";

const TIMEOUT_MS = 1000;

const network = openNetwork();
afterAll(() => network?.remove());

test("it can be set here, on a listener whose descriptor is told and on one that has to be looked for", async () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  expect(setUserTimeout(listener, 1000)).toBeUndefined();
  listener.stop(true);
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", development: false, fetch: () => new Response() });
  expect(setUserTimeout({ port: server.port ?? 0 }, 1000)).toBeUndefined();
  const six = Bun.serve({ port: 0, hostname: "::1", development: false, fetch: () => new Response() });
  expect(setUserTimeout({ port: six.port ?? 0 }, 1000)).toBeUndefined();
  await server.stop(true);
  await six.stop(true);
});

test("where it cannot be set the reason is told, and nothing is thrown", () => {
  expect(setUserTimeout({ port: 1 }, 1000)).toContain("not found");
  expect(setUserTimeout({ port: 1, fd: 100_000 }, 1000)).toContain("refused");
});

async function isGoneInTime(isGone: () => boolean): Promise<boolean> {
  const deadline = performance.now() + TIMEOUT_MS * 10;
  while (!isGone() && performance.now() < deadline) await Bun.sleep(20);
  return isGone();
}

describe.skipIf(network === undefined)(
  "[OW-9] a peer that was cut off (not tried where network namespaces are not permitted)",
  () => {
    // Not looked into here: this runs also where all of it is skipped.
    const cable = network as Network;

    test("is gone from a TCP listener", async () => {
      let closed = 0;
      const sockets: Bun.Socket[] = [];
      const listener = Bun.listen({
        hostname: cable.server,
        port: 0,
        socket: {
          data(socket) {
            sockets.push(socket);
            socket.write("hello\n");
          },
          close: () => void closed++,
        },
      });
      expect(setUserTimeout(listener, TIMEOUT_MS)).toBeUndefined();
      const child = await cable.openClient(listener.port, "hi\n");
      cable.cutOff();
      for (const socket of sockets) socket.write("are you there?\n");
      expect(await isGoneInTime(() => closed === 1)).toBe(true);
      cable.plugIn();
      child.kill();
      listener.stop(true);
    });

    test("is gone from a stream of HTTP", async () => {
      let gone = false;
      const streams: ReadableStreamDefaultController<string>[] = [];
      const server = Bun.serve({
        hostname: cable.server,
        port: 0,
        development: false,
        fetch(request, self) {
          self.timeout(request, 0);
          request.signal.addEventListener("abort", () => (gone = true));
          const body = new ReadableStream<string>({
            start(controller) {
              streams.push(controller);
              controller.enqueue("data: hello\n\n");
            },
          });
          return new Response(body, { headers: { "content-type": "text/event-stream" } });
        },
      });
      expect(setUserTimeout({ port: server.port ?? 0 }, TIMEOUT_MS)).toBeUndefined();
      const child = await cable.openClient(server.port ?? 0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      cable.cutOff();
      for (const stream of streams) stream.enqueue(": still here\n\n");
      expect(await isGoneInTime(() => gone)).toBe(true);
      cable.plugIn();
      child.kill();
      await server.stop(true);
    });
  },
);
