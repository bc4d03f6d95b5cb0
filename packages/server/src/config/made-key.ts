import { join } from "node:path";
import type { Config } from "./schema.ts";

/** Where the server keeps the API key that it made because no secret is configured; the command line finds it here. */
export function madeKeyFile(config: Pick<Config, "dataDir">): string {
  return join(config.dataDir, "api-key");
}
