/**
 * What `npm test` runs again, on what: the suites of what clients and backends are promised wherever they come, chosen by what they can find there. Any other one
 * is run by hand, `WORKERS=2 npm test -- word`.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { ROOT } from "./files.mjs";

/** What tests read where they start servers: packages/server/test/support/server.ts. */
const VARIABLES = ["ENGINE", "WORKERS", "NODES"];

export const SYSTEMS = [
  { name: "with two workers", env: { WORKERS: "2" } },
  { name: "with two nodes on Redis", env: { ENGINE: "redis", NODES: "2" } },
];

// The longest first: they run side by side. Without those in which time passes faster than it does: what is slow only because much runs at once looks blocked there.
export const SUITES = [
  "packages/server/src/transports/contract.integration.test.ts",
  "e2e/sdk-transports.e2e.ts",
  "e2e/chaos.e2e.ts",
  "packages/server/src/core/recovery.integration.test.ts",
  "packages/server/src/core/sessions.integration.test.ts",
  "e2e/clients.e2e.ts",
  "packages/server/src/hooks/webhook.integration.test.ts",
  "packages/server/src/transports/long-poll.integration.test.ts",
  "packages/server/src/transports/long-poll-loss.integration.test.ts",
  "packages/server/src/transports/change.integration.test.ts",
  "packages/server/src/transports/goodbye.integration.test.ts",
  "packages/server/src/transports/send.integration.test.ts",
  "packages/server/src/transports/opening.integration.test.ts",
  "packages/server/src/cli/drain.integration.test.ts",
  "packages/server/src/auth/identity.integration.test.ts",
  "packages/server/src/auth/places.integration.test.ts",
  "packages/server/src/core/control.integration.test.ts",
];

/** The further runs: none where the environment says on what everything is to run. `chosen` says of each file whether it is wanted. */
export function furtherRuns(chosen, environment = process.env) {
  if (VARIABLES.some((name) => environment[name])) return [];
  const lost = SUITES.filter((file) => !existsSync(resolve(ROOT, file)));
  if (lost.length > 0) throw new Error(`scripts/lib/suites.mjs names what is not there: ${lost.join(", ")}`);
  return SYSTEMS.map(({ name, env }) => ({ name, env, files: SUITES.filter(chosen) }));
}
