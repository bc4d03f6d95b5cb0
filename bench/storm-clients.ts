/** Clients that come back by themselves when they lose their server, and count what they miss: `stormload`. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Bench } from "./bench.ts";
import type { Child, Children } from "./children.ts";
import type { SubscribersReport } from "./native.ts";

const CONNECT_TIMEOUT_MS = 120_000;
const BACK_TIMEOUT_MS = 120_000;
const REPORT_TIMEOUT_MS = 10_000;
const LIFETIME_SECONDS = 600;

export interface BackReport {
  /** From the release to the last that is back, and to the middle and the late ones. */
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly attempts: number;
  readonly failed: number;
  readonly repeats: number;
  readonly gaps: number;
  readonly unrecovered: number;
}

/** Since the last `reset`: how often a client lost its server, what came twice, what was left out, what could not be continued. */
export interface StormReport extends SubscribersReport {
  readonly lost: number;
  readonly repeats: number;
  readonly gaps: number;
  readonly unrecovered: number;
}

export interface StormClientsOptions {
  readonly port: number;
  /** One client each; an empty one is nobody's. */
  readonly tokens: readonly string[];
  /** Client n has the channel `storm-<n modulo channels>`. */
  readonly channels: number;
  /** Of the SDK unless told. */
  readonly backoffMinMs?: number;
}

export class StormClients {
  private constructor(
    private readonly children: Children,
    private readonly child: Child,
    /** From the first attempt to the last client that was subscribed. */
    readonly connectSeconds: number,
  ) {}

  static async connect(
    bench: Bench,
    { port, tokens, channels, backoffMinMs = 1000 }: StormClientsOptions,
  ): Promise<StormClients> {
    const values = join(mkdtempSync(join(bench.folder, "tokens-")), "tokens");
    writeFileSync(values, tokens.map((token) => `${token}\n`).join(""));
    const flags = {
      port,
      connections: tokens.length,
      channels,
      path: "/ws",
      first: tokens[0] === "" ? '{"type":"connect"}' : '{"type":"connect","token":"%s"}',
      ready: "subscribed",
      "backoff-min-ms": backoffMinMs,
      values,
      seconds: LIFETIME_SECONDS,
    };
    const command = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const child = bench.children.start("stormload", [bench.tools.stormload, ...command]);
    const ready = JSON.parse(await child.line("READY", CONNECT_TIMEOUT_MS)) as { seconds: number };
    return new StormClients(bench.children, child, ready.seconds);
  }

  /** Who loses its server stays away until `release`. */
  hold(): Promise<void> {
    return this.child.send("hold");
  }

  release(): Promise<void> {
    return this.child.send("release");
  }

  /** `back` resolves once all are connected and at this offset of their channels. */
  expect(offset: number): Promise<void> {
    return this.child.send(`reset\nexpect ${offset}`);
  }

  async back(): Promise<BackReport> {
    return JSON.parse(await this.child.line("BACK", BACK_TIMEOUT_MS)) as BackReport;
  }

  reset(): Promise<void> {
    return this.child.send("reset");
  }

  async report(): Promise<StormReport> {
    await this.child.send("report");
    return JSON.parse(await this.child.line("RESULT", REPORT_TIMEOUT_MS)) as StormReport;
  }

  async stop(): Promise<void> {
    await this.children.stop(this.child);
  }
}
