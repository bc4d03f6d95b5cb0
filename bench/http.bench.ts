/**
 * What the HTTP layer alone costs a publish: `createHttp` in front of a Control that answers at once, beside a bare handler that
 * parses and answers JSON. `npm run bench` measures the whole server; this shows where the time goes when that moves.
 *
 *     bun bench/http.bench.ts [seconds]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createHttp } from "../packages/server/src/http/api.ts";
import type { Control, PublishRequest } from "../packages/server/src/ports/control.ts";
import { Children } from "./children.ts";
import { compileNative, type NativeTools, post } from "./native.ts";

const BATCH = 100;
const ROUNDS = 3;
const ONE = `{"channel":"room:1","data":{"text":"${"x".repeat(100)}","from":"alice"}}`;

let offset = 0;
const control = {
  publish: ({ channel }: PublishRequest) =>
    Promise.resolve({ channel, epoch: "zL0v8d2k", offset: ++offset, online: true, subscribers: 3 }),
} as unknown as Control;

const api = createHttp({
  control,
  keys: ["first", "second", "bench"].map((name) => ({ name, key: `key-of-${name}`, scopes: ["publish"] })),
  log: { debug: silence, info: silence, warn: silence, error: silence },
  health: () => ({ ready: true }),
  limits: { bodyBytesMax: 8 << 20, publicationBytesMax: 1 << 20, depthMax: 64, historyPageMax: 1000 },
  version: "bench",
});

async function bare(request: Request): Promise<Response> {
  const { channel } = (await request.json()) as PublishRequest;
  return Response.json({ results: [{ channel, epoch: "zL0v8d2k", offset: ++offset, online: true, subscribers: 3 }] });
}

interface Variant {
  readonly name: string;
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly path: string;
  readonly body: string;
  readonly publications: number;
}

const batch = `{"publications":[${Array.from({ length: BATCH }, () => ONE).join(",")}]}`;
const VARIANTS: readonly Variant[] = [
  { name: "bare handler", fetch: bare, path: "/api/publish", body: ONE, publications: 1 },
  { name: "publish", fetch: api, path: "/api/publish", body: ONE, publications: 1 },
  { name: `batch of ${BATCH}`, fetch: api, path: "/api/batch", body: batch, publications: BATCH },
];

async function measure(children: Children, tools: NativeTools, variant: Variant, seconds: number): Promise<string> {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", development: false, fetch: variant.fetch });
  const { path, body, publications, name } = variant;
  const header = "Authorization: Bearer key-of-bench";
  const posting = { port: server.port ?? 0, path, body, header, connections: 64, rate: 0 };
  await post(children, tools, { ...posting, seconds: 0.5 });
  const before = process.cpuUsage();
  const report = await post(children, tools, { ...posting, seconds });
  const { user, system } = process.cpuUsage(before);
  await server.stop(true);
  if (report.failed > 0) throw new Error(`${name}: ${report.failed} failed: ${report.failure}`);
  const rate = Math.round((report.ok * publications) / report.seconds);
  const cpuUs = (user + system) / (report.ok * publications);
  return `${name.padEnd(14)} ${String(rate).padStart(9)} publications/s  ${cpuUs.toFixed(2).padStart(6)} us CPU each`;
}

function silence(): void {}

const folder = mkdtempSync(join(tmpdir(), "longwire-bench-"));
const children = new Children();
try {
  const tools = await compileNative(folder);
  const seconds = Number(process.argv[2] ?? 2);
  for (let round = 1; round <= ROUNDS; round++) {
    for (const variant of VARIANTS) process.stdout.write(`${await measure(children, tools, variant, seconds)}\n`);
  }
} finally {
  await children.stopAll();
  rmSync(folder, { recursive: true });
}
