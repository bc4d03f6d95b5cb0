/** Clients behind proxies: whose word about their address counts. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { leftOut } from "../../test/support/one-process.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient } from "../../test/support/ws-client.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ "trusted-proxies": "loopback,10.0.0.0/8", "channels-publish": "everybody" });
});

afterAll(() => server.stop());

interface SessionView {
  readonly session: string;
  readonly address: string;
}

async function addresses(of: TestServer = server): Promise<string[]> {
  const { body } = await of.api("GET", "/api/sessions");
  return (body as { sessions: SessionView[] }).sessions.map(({ address }) => address);
}

async function gone(of: TestServer = server): Promise<void> {
  for (let round = 0; (await addresses(of)).length > 0 && round < 200; round++) await Bun.sleep(10);
}

test("[LM-3] [LM-14] a trusted proxy's word is the address in the sessions API, on every transport of HTTP", async () => {
  const headers = { "x-forwarded-for": "6.6.6.6, 192.0.2.7, 10.0.0.3" };
  const bob = await connectClient(server.url, { headers });
  expect(await addresses()).toEqual(["192.0.2.7"]);
  bob.terminate();
  await gone();
  for (const path of ["/sse?channel=a", "/stream?channel=a", "/poll?channel=a&quiet=true"]) {
    const leaving = new AbortController();
    const answer = fetch(`${server.url}${path}`, { headers, signal: leaving.signal }).catch(() => undefined);
    for (let round = 0; (await addresses()).length === 0 && round < 200; round++) await Bun.sleep(10);
    expect([path, await addresses()]).toEqual([path, ["192.0.2.7"]]);
    leaving.abort();
    await answer;
    await gone();
  }
});

test("[LM-3] without the header, or with one that is none, the address is the connection's own", async () => {
  for (const value of ["", "garbage", "192.0.2.7, unknown"]) {
    const bob = await connectClient(server.url, value === "" ? {} : { headers: { "x-forwarded-for": value } });
    expect([value, await addresses()]).toEqual([value, ["127.0.0.1"]]);
    bob.terminate();
    await gone();
  }
  // Only the configured header counts: the other may come from the client.
  const bob = await connectClient(server.url, { headers: { forwarded: "for=192.0.2.7" } });
  expect(await addresses()).toEqual(["127.0.0.1"]);
  bob.terminate();
  await gone();
});

test("[LM-3] `Forwarded` (RFC 7239), where that is configured", async () => {
  const other = await startServer({ "trusted-proxies": "loopback", "forwarded-header": "forwarded" });
  try {
    const headers = { forwarded: 'for="[2001:db8::7]:4711";proto=https', "x-forwarded-for": "6.6.6.6" };
    await connectClient(other.url, { headers });
    expect(await addresses(other)).toEqual(["2001:db8::7"]);
  } finally {
    await other.stop();
  }
});

test.skipIf(leftOut("limits"))(
  "[LM-3] [LM-10] nobody else's word counts, and limits per address go by the address that is believed",
  async () => {
    const flags = { "connections-per-address-max": "1" };
    const direct = await startServer({ ...flags, "trusted-proxies": "10.0.0.0/8" });
    const behind = await startServer({ ...flags, "trusted-proxies": "loopback" });
    try {
      await connectClient(direct.url, { headers: { "x-forwarded-for": "192.0.2.7" } });
      expect(await addresses(direct)).toEqual(["127.0.0.1"]);

      const from = (address: string) =>
        connectClient(behind.url, { headers: { "x-forwarded-for": address }, connect: false });
      await from("192.0.2.7");
      await from("192.0.2.8");
      const third = await from("6.6.6.6, 192.0.2.7");
      const { code, reason } = await third.closed;
      expect(code).toBe(4204);
      expect(reason).toContain("at most 1 connections from one address");
      // The proxy's own clients, health checks for instance, are not counted.
      for (let count = 0; count < 3; count++) await connectClient(behind.url);
    } finally {
      await direct.stop();
      await behind.stop();
    }
  },
);

test("[LM-3] entries that are no addresses refuse the start", async () => {
  const message = await startServer({ "trusted-proxies": "proxy.local" }).then(
    () => "",
    (error: Error) => error.message,
  );
  expect(message).toContain("this is no IP address");
});
