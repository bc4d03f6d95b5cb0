/** Runs a program in the place of this one: its input, output, signals and exit code are ours. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { complain } from "./files.mjs";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

const LOOK_MS = 500;

/**
 * A service manager that stops `npm start` reaches npm; npm hands the signal to the shell it runs scripts in, and the shell dies
 * without handing it on. So a process that has lost the parent it began with is to stop.
 */
function followParent(stop) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    stop();
  }, LOOK_MS);
  timer.unref();
}

/** Ends this process when the child ends. */
export function become(program, args, options = {}) {
  const child = spawn(program, args, { stdio: "inherit", ...options });
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
  if (process.env.npm_lifecycle_event !== undefined) followParent(() => child.kill("SIGTERM"));
  child.on("error", (error) => {
    complain(`${program} could not be started: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
