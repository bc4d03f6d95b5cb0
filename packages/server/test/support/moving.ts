/**
 * Sessions that move between the processes of a cluster (`cluster.ts`), step by step.
 *
 *     const cluster = clusterOf(2);
 *     const again = arrive(cluster.house(0), id);   // begins to connect
 *     await untilAsked(cluster, "yield");           // stops in the middle
 *     await pass(cluster, 10_000);                  // time goes by
 *     resumedOf(again);
 */
import { expect } from "bun:test";
import type { Handshake } from "../../src/ports/gateway.ts";
import { nativeProtocol } from "../../src/protocols/native.ts";
import { buildCluster, type Cluster } from "./cluster.ts";
import { type CoreHouse, type CoreSession, settle } from "./core.ts";
import { FakeConnection } from "./fake-connection.ts";

export const RESUME_MS = 60_000;

export function clusterOf(size: number, resumeMs = RESUME_MS): Cluster {
  return buildCluster(size, { settings: { resumeMs, pingIntervalMs: 3_600_000, pingTimeoutMs: 1_000_000_000 } });
}

/** Begins to connect, and waits for nothing. */
export function arrive(house: CoreHouse, session: string, handshake: Partial<Handshake> = {}): CoreSession {
  const connection = new FakeConnection();
  const handle = house.gateway.open(connection, nativeProtocol(16), { channels: [], session, ...handshake });
  return {
    handle,
    connection,
    async say(command) {
      house.gateway.receive(handle, JSON.stringify(command));
      await settle();
    },
    async drop() {
      house.gateway.closed(handle, 1006, "");
      await settle();
    },
  };
}

export function namesAsked({ asked }: Cluster): readonly string[] {
  return asked.map(({ question, from, to }) => `${(question as { ask: string }).ask} ${from} ${to}`);
}

/** The question was asked, and has not arrived yet. */
export async function untilAsked(cluster: Cluster, name: string): Promise<void> {
  for (let turn = 0; turn < 100; turn++) {
    if (namesAsked(cluster).some((asked) => asked.startsWith(name))) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  throw new Error(`nobody asked ${name}`);
}

export async function pass(cluster: Cluster, ms: number, stepMs = 1000): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= stepMs) {
    cluster.clock.advance(Math.min(stepMs, leftMs));
    await settle();
  }
}

export function resumedOf({ connection }: Pick<CoreSession, "connection">): unknown {
  const greeting = connection.frames().find(({ type }) => type === "connected");
  return greeting?.type === "connected" ? greeting.resumed : undefined;
}

export function goodbyeOf({ connection }: CoreSession): string | undefined {
  return connection.goodbye?.disconnect;
}

export function endsOf(sessions: readonly CoreSession[]): readonly string[] {
  return sessions.map((session) => goodbyeOf(session) ?? "stays").toSorted((a, b) => a.localeCompare(b));
}

export async function stateOf(cluster: Cluster, key: string): Promise<unknown> {
  await settle();
  const text = await cluster.engine.state.get(`app/${key}`);
  return text === undefined ? undefined : (JSON.parse(text) as unknown);
}

export function hasNoBugs(cluster: Cluster): void {
  expect(cluster.houses.flatMap(({ errors }) => errors)).toEqual([]);
}
