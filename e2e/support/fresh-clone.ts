/**
 * A folder that looks like a fresh clone in which `npm install` has run, so that the commands of the README can be typed there as
 * they stand: `npm start`, `npx longwire …`, `cat data/api-key`. Its data is its own; everything else is a link to this repository.
 *
 *     const clone = makeClone({ LONGWIRE_PORT: "12345" });
 *     const server = clone.start("npm start");            // in a process group of its own
 *     await clone.run("npx longwire version");            // standard output; throws where the status is not 0
 *     await server.stop();
 *     clone.remove();
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./code-blocks.ts";

const LINKED = ["package.json", "package-lock.json", "node_modules", "packages", "scripts"];

export interface RunningCommand {
  readonly output: () => string;
  /** Ctrl-C; resolves when it is gone. */
  stop(): Promise<void>;
}

export interface Clone {
  readonly folder: string;
  start(command: string, env?: Readonly<Record<string, string>>): RunningCommand;
  run(command: string, env?: Readonly<Record<string, string>>): Promise<string>;
  remove(): void;
}

export function makeClone(common: Readonly<Record<string, string>>): Clone {
  const folder = mkdtempSync(join(tmpdir(), "longwire-clone-"));
  for (const name of LINKED) symlinkSync(join(ROOT, name), join(folder, name));
  const environment = (env: Readonly<Record<string, string>>): Record<string, string> => ({
    PATH: process.env["PATH"] ?? "",
    HOME: process.env["HOME"] ?? folder,
    ...common,
    ...env,
  });
  return {
    folder,
    start(command, env = {}) {
      // A group of its own: Ctrl-C at a terminal reaches npm, its shell, the launcher and the server alike.
      const child = spawn("bash", ["-c", command], { cwd: folder, env: environment(env), detached: true });
      let output = "";
      child.stdout.on("data", (text: Buffer) => (output += text.toString()));
      child.stderr.on("data", (text: Buffer) => (output += text.toString()));
      const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
      return {
        output: () => output,
        async stop() {
          if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, "SIGINT");
          await ended;
        },
      };
    },
    async run(command, env = {}) {
      const child = Bun.spawn(["bash", "-e", "-o", "pipefail", "-c", command], {
        cwd: folder,
        env: environment(env),
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
      const status = await child.exited;
      if (status !== 0) throw new Error(`${command}\nended with ${status}:\n${out}${error}`);
      return out;
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
