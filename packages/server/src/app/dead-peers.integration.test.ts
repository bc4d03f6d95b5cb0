import { afterAll, describe, expect, test } from "bun:test";
import { type Network, openNetwork } from "../../test/support/network.ts";
import { leftOut } from "../../test/support/one-process.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";

const network = openNetwork();
afterAll(() => network?.remove());

async function isGone(server: TestServer): Promise<boolean> {
  for (let round = 0; round < 400; round++) {
    const { body } = await server.api("GET", "/api/stats");
    if ((body as { sessions: number }).sessions === 0) return true;
    await Bun.sleep(20);
  }
  return false;
}

describe.skipIf(network === undefined || leftOut("balancer"))(
  "a client that was cut off (not tried where network namespaces are not permitted)",
  () => {
    // Not looked into here: this runs also where all of it is skipped.
    const cable = network as Network;

    for (const [way, rule, request] of [
      ["over TCP", "TC-7", '{"type":"subscribe","channel":"a"}\n'],
      ["of a stream", "OW-9", "GET /sse/a HTTP/1.1\r\nHost: a\r\n\r\n"],
    ] as const) {
      test(`[${rule}] a subscriber ${way} is gone within the time`, async () => {
        const server = await startServer({ host: cable.server, "ping-interval-ms": "1000", "ping-timeout-ms": "100" });
        const port = way === "over TCP" ? server.tcpPorts[0] : Number(new URL(server.url).port);
        const client = await cable.openClient(port ?? 0, request);
        cable.cutOff();
        await server.publish("a", "into the void");
        expect(await isGone(server)).toBe(true);
        cable.plugIn();
        client.kill();
        await server.stop();
      });
    }
  },
);
