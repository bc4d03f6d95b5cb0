/** Runs a program in the place of this one: its input, output, signals and exit code are ours. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { complain } from "./files.mjs";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Ends this process when the child ends. */
export function become(program, args, options = {}) {
  const child = spawn(program, args, { stdio: "inherit", ...options });
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    complain(`${program} could not be started: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
