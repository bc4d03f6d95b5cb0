/** The nchan peer: nginx with its module for channels, one worker, as the Debian packages have it. */
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Bench } from "./bench.ts";
import type { Subscription } from "./native.ts";
import { freePort, type MeasuredServer } from "./servers.ts";

const NGINX = "/usr/sbin/nginx";
const MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so";
const START_TIMEOUT_MS = 5000;
const READY_POLL_MS = 20;

export const NCHAN_HINT =
  "nchan is left out, as nginx or its module is not here. On Debian or Ubuntu: apt-get install nginx libnginx-mod-nchan";

export function hasNchan(): boolean {
  return nginxPath() !== undefined && existsSync(MODULE);
}

function nginxPath(): string | undefined {
  return Bun.which("nginx") ?? (existsSync(NGINX) ? NGINX : undefined);
}

export const NCHAN_SUBSCRIPTIONS: Readonly<Record<"sse" | "stream", Subscription>> = {
  sse: { reading: "sse", path: "/sse" },
  stream: { reading: "lines", path: "/stream" },
};

export async function startNchan(bench: Bench): Promise<MeasuredServer> {
  const nginx = nginxPath();
  if (nginx === undefined) throw new Error(NCHAN_HINT);
  const port = freePort();
  const folder = mkdtempSync(join(bench.folder, "nchan-"));
  const file = join(folder, "nginx.conf");
  writeFileSync(file, configuration(port, folder));
  // The shell ends nginx when its input ends, however this process does.
  const script = '"$0" -p "$1" -c "$2" & pid=$!; cat >/dev/null; kill $pid';
  const child = bench.children.start("nchan", ["sh", "-c", script, nginx, folder, file]);
  const until = performance.now() + START_TIMEOUT_MS;
  while (!(await answers(port))) {
    if (performance.now() > until) throw new Error(`nginx does not answer: ${child.errors}`);
    await Bun.sleep(READY_POLL_MS);
  }
  return {
    name: "nchan",
    child,
    port,
    subscription: NCHAN_SUBSCRIPTIONS.sse,
    publication: { path: "/publish", body: (_channel, data) => data },
  };
}

async function answers(port: number): Promise<boolean> {
  try {
    await fetch(`http://127.0.0.1:${port}/publish`);
    return true;
  } catch {
    // Not listening yet; the caller asks until its time is over.
    return false;
  }
}

/** It keeps as much as Longwire's default namespace does. */
function configuration(port: number, folder: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder};`);
  return `load_module ${MODULE};
${process.getuid?.() === 0 ? "user root;" : ""}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 19000; }
http {
  access_log off;
  ${temporary.join("\n  ")}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /publish {
      nchan_publisher;
      nchan_channel_id bench;
      nchan_message_buffer_length 100;
      nchan_message_timeout 5m;
    }
    location = /sse { nchan_subscriber eventsource; nchan_channel_id bench; }
    location = /stream { nchan_subscriber http-raw-stream; nchan_channel_id bench; }
  }
}
`;
}
