/**
 * Thousands of hostile clients beside a hundred that pay. The hundred get everything, in order, on connections that stay; how much later than in
 * calm times is printed and not judged, since the attackers share the machine's processors with everybody else.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { freePort, type ServerProcess, spawnServer } from "longwire/test/server-process";
import { connectClient, type TestClient } from "longwire/test/ws-client";
import { ROOT } from "./support/code-blocks.ts";
import { until } from "./support/wait.ts";

const FULL = process.env["LONGWIRE_SLOW"] === "full";
const SEED = Number(process.env["LONGWIRE_SEED"] ?? 1);
const ATTACKERS = Number(process.env["LONGWIRE_HOSTILE_CLIENTS"] ?? (FULL ? 10_000 : 300));
const PROCESSES = FULL ? 4 : 2;
const PAYING = 100;
const PUBLICATIONS = FULL ? 600 : 60;
const EVERY_MS = 50;
const CHANNEL = "paying:news";

let server: ServerProcess;
let tcpPort: number;
const paying: TestClient[] = [];
const delays: number[] = [];

beforeAll(async () => {
  tcpPort = freePort();
  server = await spawnServer({
    engine: "memory",
    "tcp-port": String(tcpPort),
    "log-level": "info",
    // As they are unless configured: what everybody has. The variable is for the figures of docs/security.md.
    "commands-per-second": process.env["LONGWIRE_HOSTILE_COMMANDS_PER_SECOND"] ?? "",
    "bytes-per-second": "",
    "publishes-per-second": "",
    "handshakes-per-second": "",
    "loop-lag-ms-max": "",
  });
  for (let n = 0; n < PAYING; n++) {
    const client = await connectClient(server.url, { token: await server.token({ sub: `paying-${n}` }) });
    await client.request({ type: "subscribe", channel: CHANNEL });
    paying.push(client);
  }
});

afterAll(async () => {
  for (const client of paying) client.terminate();
  await server.remove();
});

/** Publishes at a steady pace; resolves to how long each publication took to each client, from before it was sent. */
async function measure(name: string): Promise<number> {
  delays.length = 0;
  const before = paying[0]?.messages(CHANNEL).length ?? 0;
  const sentAt: number[] = [];
  const watching = Promise.all(
    paying.map(async (client) => {
      for (let n = 0; n < PUBLICATIONS; n++) {
        await client.received(CHANNEL, before + n + 1, 120_000);
        delays.push(performance.now() - (sentAt[n] ?? 0));
      }
    }),
  );
  for (let n = 0; n < PUBLICATIONS; n++) {
    sentAt.push(performance.now());
    await server.publish(CHANNEL, n);
    await Bun.sleep(EVERY_MS);
  }
  await watching;
  const sorted = delays.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
  process.stdout.write(
    `hostile: ${name}: p50 ${at(0.5).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms, longest ${at(1).toFixed(1)} ms, ${sorted.length} deliveries\n`,
  );
  return at(0.99);
}

interface Attack {
  /** Those that flood begin. */
  flood(): void;
  readonly open: () => number;
  readonly sentAway: () => number;
  stop(): Promise<void>;
}

function attack(): Attack {
  const children = Array.from({ length: PROCESSES }, (_, at) => {
    const args = [
      new URL(server.url).port,
      String(tcpPort),
      String(Math.ceil(ATTACKERS / PROCESSES)),
      String(SEED + at),
    ];
    const child = Bun.spawn([process.execPath, join(ROOT, "e2e/support/hostile-child.ts"), ...args], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    const report = { open: 0, sentAway: 0 };
    void (async () => {
      const decoder = new TextDecoder();
      let rest = "";
      for await (const chunk of child.stdout) {
        const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split("\n");
        rest = lines.pop() ?? "";
        const last = lines.at(-1);
        if (last !== undefined) Object.assign(report, JSON.parse(last));
      }
    })();
    return { child, report };
  });
  const sum = (of: "open" | "sentAway"): number => children.reduce((total, { report }) => total + report[of], 0);
  return {
    open: () => sum("open"),
    sentAway: () => sum("sentAway"),
    flood() {
      for (const { child } of children) {
        void child.stdin.write("flood\n");
        void child.stdin.flush();
      }
    },
    async stop() {
      for (const { child } of children) await child.stdin.end();
      await Promise.all(children.map(({ child }) => child.exited));
    },
  };
}

async function sessions(): Promise<number> {
  return ((await server.api("GET", "/api/stats")).body as { sessions: number }).sessions;
}

function descriptors(): number {
  return readdirSync(`/proc/${server.pid}/fd`).length;
}

test(
  "[P4] those who pay get everything beside thousands that do not, and of them nothing is left",
  async () => {
    const calmDescriptors = descriptors();
    const calm = await measure("in calm times");
    const attackers = attack();
    // Some are being sent away at any moment.
    await until("most have come", () => attackers.open() > ATTACKERS * 0.8, 180_000);
    const compare = (p99: number): void => {
      const times = (p99 / calm).toFixed(1);
      const words = `${attackers.open()} open, sent away ${attackers.sentAway()} times`;
      process.stdout.write(`hostile: p99 ${times} times that of calm times; ${words}\n`);
    };
    compare(await measure(`beside ${attackers.open()} that drip, are silent, or subscribe for ever`));
    attackers.flood();
    compare(await measure(`with ${Math.round(ATTACKERS / 50)} of them that flood`));
    await attackers.stop();

    for (const client of paying) {
      expect(client.isOpen).toBe(true);
      const offsets = client.messages(CHANNEL).map(({ offset }) => offset);
      expect(offsets).toEqual(Array.from({ length: 3 * PUBLICATIONS }, (_, at) => at + 1));
    }
    await until("their sessions are gone", async () => (await sessions()) === PAYING);
    await until("their descriptors are gone", () => descriptors() <= calmDescriptors + 8);
    const errors = server
      .output()
      .split("\n")
      .filter((line) => line.includes('"level":"error"'));
    expect(errors).toEqual([]);
  },
  FULL ? 900_000 : 120_000,
);
