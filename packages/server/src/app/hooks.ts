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

export interface OpenHooks {
  readonly hooks: Hooks;
  /** Gives up on what is being asked. */
  stop(): void;
}

export function openHooks(config: Config, clock: Clock, log: Logger): OpenHooks {
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
    concurrencyMax: hookConcurrencyMax,
    queueMax: hookQueueMax,
  });
  return { hooks: webhook({ asker, clock, depthMax }), stop: () => asker.stop() };
}
