/**
 * What the tests need besides npm packages: a browser, fonts for Chinese, a C compiler, PHP for the README's snippets, Redis, the proxies
 * and the clients that docs/transports.md shows.
 */
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { complain, say } from "./files.mjs";

const NEEDS = [
  { name: "chromium", present: () => onPath("chromium", "chromium-browser", "google-chrome") },
  { name: "fonts-noto-cjk", present: hasChineseFont },
  { name: "curl", present: () => onPath("curl") },
  { name: "gcc", present: () => onPath("gcc", "cc") },
  { name: "libc6-dev", present: () => process.platform !== "linux" || existsSync("/usr/include/stdio.h") },
  { name: "php-cli", present: () => onPath("php") },
  { name: "php-curl", present: hasPhpCurl },
  { name: "openssl", present: () => onPath("openssl") },
  // Networks of their own, for peers that are cut off.
  { name: "iproute2", present: () => process.platform !== "linux" || onPath("ip") },
  { name: "socat", present: () => onPath("socat") },
  { name: "netcat-openbsd", present: () => onPath("nc.openbsd", "nc") },
  { name: "nginx", present: () => onPath("nginx") },
  // For raw TCP in examples/cluster.
  {
    name: "libnginx-mod-stream",
    present: () => process.platform !== "linux" || existsSync("/usr/lib/nginx/modules/ngx_stream_module.so"),
  },
  // The server and its modules, without the service.
  { name: "apache2-bin", present: () => onPath("apache2") },
  { name: "haproxy", present: () => onPath("haproxy") },
  { name: "caddy", present: () => onPath("caddy") },
  // Debian would start one of each as a service (below); the tests start their own.
  { name: "redis-server", present: () => onPath("redis-server") },
  { name: "redis-sentinel", present: () => onPath("redis-sentinel") },
  { name: "redis-tools", present: () => onPath("redis-cli") },
];

/** Asked by Debian's packages before they start a service: 101 is no. */
const SERVICE_POLICY = "/usr/sbin/policy-rc.d";

/** Installs what is missing as root on Debian; elsewhere names the command to type and ends the process. */
export function ensureTestPackages() {
  const missing = NEEDS.filter(({ present }) => !present()).map(({ name }) => name);
  if (missing.length === 0) return;
  const debian = existsSync("/etc/debian_version");
  const install = `apt-get install -y --no-install-recommends ${missing.join(" ")}`;
  if (!debian || process.getuid?.() !== 0) {
    complain(`The tests need what is not here: ${missing.join(", ")}.`);
    complain(
      debian
        ? `Type this, then run the tests again:\n\n  sudo apt-get update && sudo ${install}\n`
        : `Install it with this system's package manager (these are Debian's names), then run the tests again. On Debian that is:\n\n  sudo apt-get update && sudo ${install}\n`,
    );
    process.exit(1);
  }
  say(`The tests need Debian packages that are not here; installing: ${missing.join(", ")}`);
  apt(["update"]);
  // The tests start what they need on ports of their own; no proxy shall sit on port 80, and no Redis on its own, because of them.
  const startsNothing = existsSync(SERVICE_POLICY);
  if (!startsNothing) writeFileSync(SERVICE_POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  apt(install.split(" ").slice(1));
  if (!startsNothing) rmSync(SERVICE_POLICY);
  const still = NEEDS.filter(({ present }) => !present()).map(({ name }) => name);
  if (still.length > 0) {
    complain(`These could not be installed: ${still.join(", ")}; what apt-get said stands above.`);
    process.exit(1);
  }
}

function apt(args) {
  // What came of it is seen by looking again: an update with one stale source fails and is good enough.
  spawnSync("apt-get", args, {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
}

function onPath(...names) {
  // Servers lie where only root's path leads.
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"];
  return names.some((name) => folders.some((folder) => folder !== "" && existsSync(join(folder, name))));
}

function hasPhpCurl() {
  const { stdout } = spawnSync("php", ["-r", "echo extension_loaded('curl') ? 'yes' : 'no';"], { encoding: "utf8" });
  return stdout === "yes";
}

function hasChineseFont() {
  if (process.platform !== "linux") return true;
  if (existsSync("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")) return true;
  const { stdout } = spawnSync("fc-list", [":lang=zh", "family"], { encoding: "utf8" });
  return (stdout ?? "").trim() !== "";
}
