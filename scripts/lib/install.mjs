/**
 * Makes sure that the npm packages of package-lock.json and the pinned Bun are there. Plain Node.js without packages: it runs
 * before anything is installed.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { complain, ROOT, say } from "./files.mjs";

const NODE_MAJOR_MIN = 20;

/** Installs what is missing and returns the path of the pinned Bun; ends the process with words where that cannot be done. */
export function ensureInstalled(root = ROOT) {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < NODE_MAJOR_MIN) fail(`Node.js ${NODE_MAJOR_MIN} or newer is needed; this is ${process.versions.node}.`);
  let bun = missingPackage(root) === undefined ? findBun(root) : undefined;
  if (bun !== undefined) return bun;
  const reason = missingPackage(root) ?? "bun";
  say(`Installing npm packages (${reason} is missing or of another version) ...`);
  if (!npm(root, "ci")) {
    say("`npm ci` failed; trying `npm install` ...");
    if (!npm(root, "install")) fail("The npm packages could not be installed; what npm said stands above.");
  }
  bun = findBun(root);
  if (bun === undefined) fail(`Bun ${pinnedVersion(root)} is installed but does not run on this machine.`);
  return bun;
}

/**
 * The first package of package-lock.json that is not installed in that version. Compared by content: times of files say little
 * after a checkout or a copy. npm keeps the list of what it installed in node_modules/.package-lock.json.
 */
export function missingPackage(root) {
  const wanted = readJson(join(root, "package-lock.json"))?.packages ?? {};
  const present = readJson(join(root, "node_modules", ".package-lock.json"))?.packages ?? {};
  for (const [path, entry] of Object.entries(wanted)) {
    // Other entries are the workspaces themselves; optional ones are for other machines.
    if (!path.startsWith("node_modules/") || entry.optional === true || entry.devOptional === true) continue;
    const name = path.replace(/^.*node_modules\//, "");
    const installed = present[path];
    if (installed === undefined || installed.version !== entry.version || !existsSync(join(root, path))) return name;
  }
  return undefined;
}

/** The pinned Bun: npm's link to it, or, where install scripts were not allowed to run, the binary in its package. */
export function findBun(root) {
  const version = pinnedVersion(root);
  const candidates = [join(root, "node_modules", ".bin", "bun")];
  const scope = join(root, "node_modules", "@oven");
  if (existsSync(scope)) {
    for (const name of readdirSync(scope).filter((entry) => entry.startsWith("bun-"))) {
      candidates.push(join(scope, name, "bin", "bun"), join(scope, name, "bin", "bun.exe"));
    }
  }
  return candidates.find((path) => existsSync(path) && versionOf(path) === version);
}

/** What it says of itself: a binary for another processor is there and does not run. */
function versionOf(path) {
  const { status, stdout } = spawnSync(path, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return status === 0 ? stdout.trim() : undefined;
}

function pinnedVersion(root) {
  return readJson(join(root, "package.json"))?.devDependencies?.bun;
}

function npm(root, command) {
  // npm names itself to the scripts it runs; started without npm, the one on the path is taken.
  const self = process.env.npm_execpath;
  const [program, ...first] = self?.endsWith(".js") ? [process.execPath, self] : ["npm"];
  const { status } = spawnSync(program, [...first, command, "--no-audit", "--no-fund"], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32" && self === undefined,
  });
  return status === 0;
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    // Not there, or cut off by an installation that was stopped: the same as not installed.
    return undefined;
  }
}

function fail(message) {
  complain(message);
  process.exit(1);
}
