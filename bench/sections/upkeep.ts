/** What clients cost beside deliveries: coming in, being there, and being seen by others (presence). */
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Bench } from "../bench.ts";
import { Subscribers } from "../native.ts";
import { startLongwire } from "../servers.ts";
import { processTree, residentBytes, cpuSeconds } from "../usage.ts";

const CONNECTIONS = 6000;
const ROOM = 20;
const SETTLE_MS = 3000;
/** Two of its pings. */
const IDLE_MS = 50_000;
const PINGS = 2;

const SHAPES = [
  { what: "not seen", more: {} },
  { what: "present", more: { presence: {} } },
  { what: `present, and told who comes and goes in rooms of ${ROOM}`, more: { presence: {}, events: true } },
] as const;

export async function runUpkeep(bench: Bench): Promise<void> {
  const rows = [];
  for (const shape of SHAPES) {
    bench.report.say(`upkeep, ${shape.what}`);
    rows.push(await measure(bench, shape));
  }
  bench.report.table(`Upkeep: ${CONNECTIONS} WebSocket connections with one channel each, nothing published`, rows);
}

async function measure(bench: Bench, { what, more }: (typeof SHAPES)[number]) {
  const server = await startLongwire(bench, "sqlite", { "channels-presence": "everybody" });
  await Bun.sleep(SETTLE_MS);
  const pids = processTree(server.child.pid);
  const idle = residentBytes(pids);
  const coming = cpuSeconds(pids);
  const valuesFile = join(mkdtempSync(join(bench.folder, "rooms-")), "rooms");
  const frames = Array.from({ length: CONNECTIONS }, (_, number) => {
    const channel = `room:${Math.floor(number / ROOM)}`;
    return JSON.stringify({ type: "subscribe", channel, ...more });
  });
  writeFileSync(valuesFile, frames.map((frame) => `${frame}\n`).join(""));
  const subscription = { path: "/ws", first: "%s", ready: '"type":"subscribed"', valuesFile };
  const { children, tools } = bench;
  const subscribers = await Subscribers.connect(children, tools, server.port, CONNECTIONS, subscription);
  const came = cpuSeconds(pids);
  await Bun.sleep(SETTLE_MS);
  const bytes = (residentBytes(pids) - idle) / CONNECTIONS;
  const before = cpuSeconds(pids);
  await Bun.sleep(IDLE_MS);
  const stayed = cpuSeconds(pids) - before;
  const leaving = cpuSeconds(pids);
  await subscribers.stop();
  await Bun.sleep(SETTLE_MS);
  const left = cpuSeconds(pids) - leaving;
  await children.stop(server.child);
  return {
    clients: what,
    "CPU us to come": ((came - coming) * 1e6) / CONNECTIONS,
    "CPU us for each ping": (stayed * 1e6) / CONNECTIONS / PINGS,
    "CPU us to leave": (left * 1e6) / CONNECTIONS,
    "KB/connection": bytes / 1024,
    "connects/s": CONNECTIONS / subscribers.connectSeconds,
  };
}
