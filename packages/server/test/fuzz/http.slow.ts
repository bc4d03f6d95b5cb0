/**
 * The HTTP API against requests made from its own description: what it allows, what is nearly that, and garbage. In process, without a socket;
 * behind it a real core. Every answer is JSON and of the table of codes, none is a failure of the server's own.
 */
import { expect, test } from "bun:test";
import { ERRORS } from "@longwire/protocol";
import type { LogFields, Logger } from "../../src/base/log.ts";
import { createHttp } from "../../src/http/api.ts";
import { buildCore, settle } from "../support/core.ts";
import { expectNoInsides, fuzzRun } from "./run.ts";
import { type Description, type FuzzRequest, requestsOf } from "./schema-input.ts";

const KEY = "key-of-the-fuzz";
const quiet = (): void => undefined;

test("[AP-3] [AP-4] [FR-16] whatever is asked is answered by the table, and a bystander gets everything", async () => {
  const run = fuzzRun({ short: 2000, full: 250_000 });
  const house = buildCore({ settings: { queueBytesMax: 256 * 1024, resumeMs: 0 } });
  const errors: LogFields[] = [];
  const log: Logger = {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: (event, fields) => void errors.push({ event, ...fields }),
  };
  const http = createHttp({
    control: house.control,
    keys: [{ name: "fuzz", key: KEY, scopes: ["publish", "read", "manage"] }],
    log,
    health: () => ({ ready: true }),
    limits: { bodyBytesMax: 100_000, publicationBytesMax: 2000, depthMax: 16, historyPageMax: 100 },
    version: "0.0.0",
  });
  const call = async ({ method, path, headers, body }: FuzzRequest): Promise<Response> =>
    http(
      new Request(`http://localhost${path}`, {
        method,
        headers,
        ...(body !== undefined && method !== "GET" && method !== "HEAD" && { body }),
      }),
    );
  const description = (await (
    await call({
      method: "GET",
      path: "/api/openapi.json",
      headers: { authorization: `Bearer ${KEY}` },
      body: undefined,
    })
  ).json()) as Description;

  const bystander = await house.open({ user: "bystander" });
  await bystander.say({ type: "subscribe", channel: "by:stander" });
  let victim = await house.open({ user: "bob" });
  const known = ["room:1", "news", "@bob", "bob", "eve", "earliest", "a", "b:c", "counter"];
  const requests = requestsOf(description, { known, session: () => victim.handle.id, apiKey: KEY });
  expect(requests.operations).toBeGreaterThan(25);

  const calm = await run.calm();
  const statuses = new Map<number, number>();
  let published = 0;
  await run.each("http api", async (random, n) => {
    const request = requests.make(random);
    const response = await call(request);
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    try {
      await expectLawful(response, request.method);
    } catch (cause) {
      throw new Error(`${request.method} ${request.path} ${String(request.body)}: ${String(cause)}`, { cause });
    }
    if (errors.length > 0) throw new Error(`${request.method} ${request.path}: ${String(errors[0]?.["error"])}`);
    if (victim.connection.goodbye !== undefined) {
      await victim.drop();
      victim = await house.open({ user: "bob" });
    }
    if (n % 500 !== 0) return;
    published++;
    await house.publish("by:stander", published);
    const offsets = bystander.connection.offsets("by:stander");
    if (offsets.length !== 1) throw new Error(`the bystander has ${offsets.length} of 1`);
    bystander.connection.writes.length = 0;
    victim.connection.writes.length = 0;
  });
  process.stdout.write(
    `fuzz: answers: ${JSON.stringify(Object.fromEntries([...statuses].toSorted(([a], [b]) => a - b)))}\n`,
  );
  // Everything behind the checks was reached as well.
  expect(statuses.get(200) ?? 0).toBeGreaterThan(run.count / 10);
  expect(house.errors).toEqual([]);
  house.clock.advance(3 * 86_400_000);
  await settle();
  await calm.isBack();
  house.stop();
});

const STATUS_OF = new Map<number, number>(Object.values(ERRORS).map(({ code, status }) => [code, status]));

async function expectLawful(response: Response, method: string): Promise<void> {
  const text = await response.text();
  expectNoInsides(text);
  if (response.status === 204) return;
  if (response.headers.get("content-type") !== "application/json")
    throw new Error(`answered ${response.status}, no JSON`);
  if (method === "HEAD") return;
  const body = JSON.parse(text) as { readonly error?: { readonly code: number; readonly message: string } };
  if (response.status === 200) return;
  const { code, message } = body.error ?? { code: 0, message: "" };
  if (code === ERRORS.internal.code) throw new Error("answered `internal`");
  if (STATUS_OF.get(code) !== response.status || message === "") throw new Error(`${response.status} with ${text}`);
}
