/** Hooks: whom the application is asked by, if it is to be asked at all. */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/schema.ts";
import { Asker } from "../hooks/asker.ts";
import { httpCall } from "../hooks/http-call.ts";
import { webhook } from "../hooks/webhook.ts";
import type { Hooks } from "../ports/hooks.ts";
import { VERSION } from "./version.ts";

/** What an answer to any question may have beside the data of a publication. */
const ANSWER_BYTES = 64 * 1024;

interface OpenHooks {
  readonly hooks: Hooks;
  /** Gives up on what is being asked. */
  stop(): void;
}

function openHooks(config: Config, clock: Clock, log: Logger, workers: number): OpenHooks {
  const { hookUrl, hookSecret, hookTimeoutMs, hookConcurrencyMax, hookQueueMax, publicationBytesMax, depthMax } =
    config;
  if (hookUrl === undefined) return { hooks: {}, stop: () => undefined };
  const call = httpCall({
    url: hookUrl,
    secret: hookSecret,
    // Escaped, a byte of data may take six.
    answerBytesMax: ANSWER_BYTES + 6 * publicationBytesMax,
    userAgent: `longwire/${VERSION}`,
  });
  const asker = new Asker({
    call,
    clock,
    log,
    timeoutMs: hookTimeoutMs,
    concurrencyMax: Math.ceil(hookConcurrencyMax / workers),
    queueMax: Math.ceil(hookQueueMax / workers),
  });
  return { hooks: webhook({ asker, clock, depthMax }), stop: () => asker.stop() };
}

type Row = "hookUrl" | "hookSecret" | "hookTimeoutMs" | "hookConcurrencyMax" | "hookQueueMax" | "publicationBytesMax";

const ROWS: readonly Row[] = [
  "hookUrl",
  "hookSecret",
  "hookTimeoutMs",
  "hookConcurrencyMax",
  "hookQueueMax",
  "publicationBytesMax",
];

/**
 * Hooks that a reload replaces. What has been asked already is answered by whom it was put to. `workers`: how many processes there are of this server; each asks
 * its share at a time, since the backend has no more room for them together (SPEC.md, WK-8).
 */
export class LiveHooks {
  /** The object itself is read whenever there is something to ask. */
  readonly asked: Hooks = {};
  #open: OpenHooks;
  #config: Config;

  constructor(
    config: Config,
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly workers = 1,
  ) {
    this.#config = config;
    this.#open = openHooks(config, clock, log, workers);
    Object.assign(this.asked, this.#open.hooks);
  }

  reload(config: Config): void {
    const before = this.#config;
    this.#config = config;
    // Answers that are remembered, and questions that wait, stay with what has not changed.
    if (ROWS.every((row) => config[row] === before[row])) return;
    const old = this.#open;
    this.#open = openHooks(config, this.clock, this.log, this.workers);
    for (const name of ["connect", "subscribe", "publish"] as const) delete this.asked[name];
    Object.assign(this.asked, this.#open.hooks);
    // By then each has its answer or none.
    this.clock.after(before.hookTimeoutMs, () => old.stop());
  }

  stop(): void {
    this.#open.stop();
  }
}
