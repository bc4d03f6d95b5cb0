/** The SDK against a whole gateway, where both sides have a say in the same subscription. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Client } from "@longwire/client";
import { startServer, type TestServer } from "longwire/test/server";
import { until } from "./support/wait.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

async function open(claims: Readonly<Record<string, unknown>>): Promise<Client> {
  const client = new Client(server.url, { token: await server.token(claims) });
  client.connect();
  await client.ready();
  return client;
}

test("[SU-4] subscribe(since) on a channel that the token brings starts there, and goes on", async () => {
  for (const text of ["a", "b", "c"]) await server.publish("news", text);
  const client = await open({ sub: "ann", channels: ["news"] });
  const channel = client.channel<string>("news");
  await channel.ready();
  const found: (number | undefined)[] = [];
  channel.on("message", ({ offset }) => found.push(offset));
  channel.subscribe("earliest");
  await channel.ready();
  await server.publish("news", "d");
  await until("four publications", () => found.length >= 4);
  expect(found).toEqual([1, 2, 3, 4]);
  client.disconnect();
});

test("an own inbox that was unsubscribed can be subscribed again, and nothing handled comes twice", async () => {
  await server.publish("@bob", 1);
  const client = await open({ sub: "bob" });
  const found: unknown[] = [];
  const inbox = client.inbox();
  inbox.on("message", ({ data }) => found.push(data));
  await until("the first", () => found.length === 1);
  inbox.unsubscribe();
  await server.publish("@bob", 2);
  inbox.subscribe("inbox");
  await inbox.ready();
  await server.publish("@bob", 3);
  await until("three publications", () => found.length >= 3);
  expect(found).toEqual([1, 2, 3]);
  client.disconnect();
});
