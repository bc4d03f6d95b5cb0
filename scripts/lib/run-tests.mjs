/** Runs test files with `bun test`, shows what it says as it says it, and counts. */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { complain, ROOT, say } from "./files.mjs";

/** The counts that `bun test` ends with. */
export function countsOf(output) {
  const last = (word) => Number([...output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1)?.[1] ?? 0);
  return { passed: last("pass"), failed: last("fail") };
}

/**
 * Runs these files in one `bun test`. A run that ends badly without saying which test failed (a crash, the deadline)
 * counts as one failure.
 */
export async function runTests(bun, { name, files, flags = [], env = {}, deadlineMs = Infinity }) {
  if (files.length === 0) return { passed: 0, failed: 0 };
  say(`\n== ${name}: ${files.length} files`);
  // Whole paths: a bare name would be a filter on names.
  const args = ["test", ...flags, ...files.map((file) => resolve(ROOT, file))];
  const child = spawn(bun, args, {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let output = "";
  const take = (from, to) => {
    from.setEncoding("utf8");
    from.on("data", (text) => {
      // The counts stand at the end; a long run must not be kept whole.
      output = (output + text).slice(-65_536);
      to.write(text);
    });
  };
  take(child.stdout, process.stdout);
  take(child.stderr, process.stderr);
  let late = false;
  const stop = (signal) => child.kill(signal);
  const timer =
    deadlineMs === Infinity
      ? undefined
      : setTimeout(() => {
          late = true;
          stop("SIGKILL");
        }, deadlineMs);
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.on(signal, () => {
      stop(signal);
      process.exit(1);
    });
  }
  const status = await new Promise((resolve) => {
    child.on("error", () => resolve(1));
    child.on("close", (code) => resolve(code ?? 1));
  });
  clearTimeout(timer);
  if (late) complain(`${name}: not done after ${Math.round(deadlineMs / 60_000)} minutes`);
  const counts = countsOf(output);
  return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/** Prints the sum alone on the last line and sets the exit code: 1 on any failure, and if no test ran. */
export function finish(counts) {
  const passed = counts.reduce((sum, count) => sum + count.passed, 0);
  const failed = counts.reduce((sum, count) => sum + count.failed, 0);
  if (passed + failed === 0) complain("no test ran");
  say(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}
