/** `npm run check`: everything that can be said about the code without running it. Every step runs, whatever the others say. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { complain, ROOT, say } from "./lib/files.mjs";
import { ensureInstalled } from "./lib/install.mjs";

const bun = ensureInstalled();

const STEPS = [
  { name: "format", command: [bun, "fmt", "--check"], mend: "`npx bun fmt` formats" },
  // Without the flag it would run package.json's own `check`: this.
  { name: "types", command: [bun, "check", "--no-script"] },
  // What others import declares its types itself, so that any tool can write declarations file by file.
  ...["protocol", "client"].map((name) => ({
    name: `types of ${name}`,
    command: [bun, "check", "--no-script", "-p", `packages/${name}`],
  })),
  { name: "lint", command: [process.execPath, join(ROOT, "node_modules/oxlint/bin/oxlint"), "--type-aware"] },
  { name: "layers", command: [bun, "scripts/check-layers.ts"] },
  { name: "architecture", command: [bun, "scripts/check-architecture.ts"] },
  { name: "rules", command: [bun, "scripts/check-rules.ts"] },
  { name: "features", command: [bun, "scripts/check-features.ts"] },
  { name: "security", command: [bun, "scripts/check-security.ts"] },
  { name: "printed pages", command: [bun, "scripts/docs.ts", "--check"], mend: "`npm run docs` writes them" },
];

const failed = STEPS.filter(({ name, command: [program, ...args] }) => {
  say(`\n== ${name}`);
  const { status, error } = spawnSync(program, args, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  if (error !== undefined) complain(error.message);
  return status !== 0;
});

if (failed.length === 0) say("\ncheck: all is well");
else {
  const names = failed.map(({ name, mend }) => (mend === undefined ? name : `${name} (${mend})`));
  complain(`\nCHECK FAILED: ${names.join(", ")}`);
  process.exitCode = 1;
}
