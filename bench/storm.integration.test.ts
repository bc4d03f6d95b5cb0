/** The instrument of storms: its clients come back by themselves, ask from where they were, and notice what is lost, doubled or not recovered. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Bench } from "./bench.ts";
import { Children } from "./children.ts";
import { compileNative, compilerPath } from "./native.ts";
import { StormClients } from "./storm-clients.ts";

const CLIENTS = 40;
const CHANNELS = 4;

interface Asked {
  readonly type: string;
  readonly channel: string;
  readonly since?: { readonly epoch: string; readonly offset: number };
}

/** Answers as a gateway does; `replay` says which offsets follow a `subscribe`. */
function startGateway(port: number, replay: (asked: Asked) => { recovered: boolean; offsets: readonly number[] }) {
  const asked: Asked[] = [];
  const gateway = Bun.serve({
    port,
    hostname: "127.0.0.1",
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no")),
    websocket: {
      message(socket, text) {
        const command = JSON.parse(String(text)) as Asked;
        if (command.type === "connect") {
          socket.send('{"type":"connected","session":"s"}');
          return;
        }
        asked.push(command);
        const { channel, since } = command;
        const { recovered, offsets } = replay(command);
        socket.send(
          JSON.stringify({ type: "subscribed", channel, epoch: "e1", offset: since?.offset ?? 0, recovered }),
        );
        for (const offset of offsets) socket.send(JSON.stringify({ type: "message", channel, offset, data: 1 }));
      },
    },
  });
  return { gateway, asked, port: gateway.port ?? 0 };
}

describe.skipIf(process.platform !== "linux" || compilerPath() === undefined)("stormload", () => {
  const folder = mkdtempSync(join(tmpdir(), "longwire-bench-storm-"));
  const children = new Children();
  let bench: Bench;

  beforeAll(async () => {
    bench = { folder, children, tools: await compileNative(folder) } as unknown as Bench;
  });

  afterAll(async () => {
    await children.stopAll();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Clients that have offset 2, whose gateway goes away and comes back. */
  async function storm(replay: Parameters<typeof startGateway>[1]) {
    const before = startGateway(0, () => ({ recovered: false, offsets: [1, 2] }));
    const tokens = Array.from({ length: CLIENTS }, (_, number) => `token-${number}`);
    const clients = await StormClients.connect(bench, {
      port: before.port,
      tokens,
      channels: CHANNELS,
      backoffMinMs: 20,
    });
    await clients.expect(2);
    await clients.back();
    await clients.hold();
    await before.gateway.stop(true);
    await clients.expect(5);
    await clients.release();
    await Bun.sleep(50);
    const after = startGateway(before.port, replay);
    const report = await clients.back();
    await clients.stop();
    await after.gateway.stop(true);
    return { report, first: before.asked, asked: after.asked };
  }

  test("everybody comes back, asks for what follows its position, and counts nothing amiss", async () => {
    const { report, first, asked } = await storm(() => ({ recovered: true, offsets: [3, 4, 5] }));
    expect(first).toHaveLength(CLIENTS);
    expect(first.filter(({ since }) => since !== undefined)).toEqual([]);
    expect(asked).toHaveLength(CLIENTS);
    expect(asked.every(({ since }) => since?.epoch === "e1" && since.offset === 2)).toBe(true);
    expect(new Set(asked.map(({ channel }) => channel)).size).toBe(CHANNELS);
    expect(report).toMatchObject({ repeats: 0, gaps: 0, unrecovered: 0 });
    expect(report.attempts - report.failed).toBe(CLIENTS);
  });

  test("what is doubled, missing or not recovered is counted", async () => {
    const { report } = await storm(({ channel }) =>
      channel === "storm-0"
        ? { recovered: true, offsets: [2, 3, 4, 5] }
        : { recovered: channel !== "storm-1", offsets: channel === "storm-2" ? [5] : [3, 4, 5] },
    );
    const each = CLIENTS / CHANNELS;
    expect(report).toMatchObject({ repeats: each, gaps: each, unrecovered: each });
  });
});
