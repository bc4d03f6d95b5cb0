/** What the runtime calls, seen by a gateway that is none. */
import { expect, test } from "bun:test";
import { Disconnect } from "../base/failures.ts";
import type { Connection } from "../ports/connection.ts";
import type { Gateway } from "../ports/gateway.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { WebSocketConnection, WebSocketFanout, webSocketHandler } from "./websocket.ts";

test("[BY-10] a connection that is refused in the moment of its opening is closed, exactly once", async () => {
  const events: string[] = [];
  const handle = { id: "x" };
  const gateway: Gateway = {
    open(connection: Connection) {
      events.push("open");
      connection.close(new Disconnect("badRequest"));
      return handle;
    },
    receive: () => undefined,
    settled: () => Promise.resolve(),
    ended: () => Promise.resolve(false),
    strained: () => undefined,
    cursor: () => undefined,
    drained: () => undefined,
    heard: () => undefined,
    violated: () => undefined,
    closed: (session, code) => void events.push(`closed ${session.id} ${code}`),
  };
  const fanout = new WebSocketFanout();
  using server = Bun.serve({
    port: 0,
    fetch(request, server) {
      const data = new WebSocketConnection(fanout, nativeProtocol(16), { channels: [] });
      return server.upgrade(request, { data }) ? undefined : new Response(null, { status: 400 });
    },
    websocket: webSocketHandler(gateway, 1000),
  });
  const socket = new WebSocket(`ws://localhost:${server.port}`);
  await new Promise<void>((resolve) => socket.addEventListener("close", () => resolve()));
  expect(events).toEqual(["open", "closed x 4104"]);
});
