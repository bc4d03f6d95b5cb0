/**
 * Starts a backend and the gateway beside it, with secrets that only these two know, and stops both.
 *
 *     node scripts/run.mjs examples/counter/start.ts                 # or: … start.ts php
 *     WORKERS=4 PORT=9000 BACKEND_PORT=8001 node scripts/run.mjs examples/counter/start.ts --log-level=debug
 */
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const HERE = import.meta.dir;

const { PORT = "8080", BACKEND_PORT = "8000", WORKERS, LONGWIRE_API_KEY } = process.env;
const [language, ...flags] = process.argv[2] === "php" ? process.argv.slice(2) : ["ts", ...process.argv.slice(2)];

const env = {
  ...process.env,
  BACKEND_PORT,
  LONGWIRE_URL: `http://127.0.0.1:${PORT}`,
  LONGWIRE_API_KEY: LONGWIRE_API_KEY ?? crypto.randomUUID(),
  LONGWIRE_HOOK_SECRET: crypto.randomUUID(),
};
const backendCommand =
  language === "php"
    ? ["php", "-S", `127.0.0.1:${BACKEND_PORT}`, join(HERE, "backend.php")]
    : [process.execPath, join(HERE, "backend.ts")];
const gatewayCommand = [
  "node",
  join(ROOT, "scripts/launch.mjs"),
  `--config=${join(HERE, "longwire.toml")}`,
  `--port=${PORT}`,
  `--hook-url=http://127.0.0.1:${BACKEND_PORT}/`,
  ...(WORKERS === undefined ? [] : [`--workers=${WORKERS}`]),
  ...flags,
];

function start(command: string[]): Bun.Subprocess {
  return Bun.spawn(command, { cwd: ROOT, env, stdin: "ignore", stdout: "inherit", stderr: "inherit" });
}

const backend = start(backendCommand);
const gateway = start(gatewayCommand);
process.on("SIGINT", () => gateway.kill("SIGINT"));
process.on("SIGTERM", () => gateway.kill("SIGTERM"));
// One without the other is of no use; the gateway has questions until its end.
await Promise.race([gateway.exited, backend.exited]);
gateway.kill("SIGTERM");
const status = await gateway.exited;
backend.kill("SIGTERM");
await backend.exited;
process.exit(status);
