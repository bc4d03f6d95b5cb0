/**
 * The proxies of docs/transports.md, started as its reader would: the files of deploy/proxies with ports, certificate and server replaced, and
 * whatever else Debian's own configuration would add.
 *
 *     const proxy = await startProxy("nginx", { http: server.url, tcp: server.tcpPorts[0] });
 *     curl --cacert proxy.certificate `${proxy.url}/sse/news`
 *     await proxy.stop();                 // ends it, removes its folder
 *
 * `prelude`: lines for the part of the configuration in which Debian's own settings stand, such as `gzip on;`.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "longwire/test/server-process";
import { ROOT } from "./code-blocks.ts";
import { until } from "./wait.ts";

export const PROXY_NAMES = ["nginx", "apache", "haproxy", "caddy"] as const;
export type ProxyName = (typeof PROXY_NAMES)[number];

export interface Target {
  readonly http: string;
  readonly tcp: number;
}

export interface Proxy {
  readonly url: string;
  /** TLS, for raw TCP; 0 where the proxy has none. */
  readonly tcpPort: number;
  /** Path of the certificate that clients have to trust. */
  readonly certificate: string;
  readonly output: () => string;
  /** Ends it and starts it again on the same ports. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

interface Place {
  readonly folder: string;
  readonly port: number;
  readonly tcpPort: number;
  readonly target: Target;
  readonly prelude: string;
}

interface Recipe {
  readonly file: string;
  /** Everything in the file that is another one's: each must be found. */
  readonly replacements: (place: Place) => Readonly<Record<string, string>>;
  /** The whole configuration around the file. */
  around(site: string, place: Place): string;
  command(file: string, place: Place): string[];
}

const MODULES = "/usr/lib/apache2/modules";
/** What Debian enables by itself, and what the head of the file names. */
const APACHE_MODULES = [
  "mpm_event",
  "authz_core",
  "filter",
  "deflate",
  "socache_shmcb",
  "ssl",
  "http2",
  "proxy",
  "proxy_http",
];

const RECIPES: Readonly<Record<ProxyName, Recipe>> = {
  nginx: {
    file: "nginx.conf",
    replacements: ({ port, target, folder }) => ({
      "listen 443": `listen 127.0.0.1:${port}`,
      "server 127.0.0.1:8080": `server ${new URL(target.http).host}`,
      "/etc/ssl/push.example.com": `${folder}/certificate`,
    }),
    around: (site, { folder, prelude }) => `daemon off;
${process.getuid?.() === 0 ? "user root;" : ""}
worker_processes 1;
pid ${folder}/pid;
error_log stderr;
events {}
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join("\n  ")}
  ${prelude}
${site}
}
`,
    command: (file, { folder }) => ["nginx", "-p", folder, "-e", "stderr", "-c", file],
  },
  apache: {
    file: "apache.conf",
    replacements: ({ port, target, folder }) => ({
      "*:443": `127.0.0.1:${port}`,
      "http://127.0.0.1:8080/": `${target.http}/`,
      "/etc/ssl/push.example.com": `${folder}/certificate`,
    }),
    around: (site, { folder, port, prelude }) => `ServerRoot ${folder}
ServerName localhost
PidFile ${folder}/pid
Mutex file:${folder}
ErrorLog ${folder}/error.log
${process.getuid?.() === 0 ? "User www-data\nGroup www-data" : ""}
${APACHE_MODULES.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`).join("\n")}
Listen 127.0.0.1:${port}
${prelude}
${site}
`,
    command: (file) => ["apache2", "-D", "FOREGROUND", "-f", file],
  },
  haproxy: {
    file: "haproxy.cfg",
    replacements: ({ port, tcpPort, target, folder }) => ({
      "bind :443": `bind 127.0.0.1:${port}`,
      "bind :8443": `bind 127.0.0.1:${tcpPort}`,
      "127.0.0.1:8080": new URL(target.http).host,
      "127.0.0.1:8081": `127.0.0.1:${target.tcp}`,
      "/etc/ssl/push.example.com.pem": `${folder}/both.pem`,
    }),
    around: (site, { prelude }) => `global
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  timeout http-request 10s
  timeout connect 5s
  timeout client 50s
  timeout server 50s
  ${prelude}
${site}
`,
    command: (file) => ["haproxy", "-db", "-f", file],
  },
  caddy: {
    file: "Caddyfile",
    replacements: ({ port, target, folder }) => ({
      "push.example.com {": `https://127.0.0.1:${port} {\n\tbind 127.0.0.1\n\ttls ${folder}/certificate.pem ${folder}/certificate.key`,
      "127.0.0.1:8080": new URL(target.http).host,
    }),
    around: (site, { prelude }) => `{
	admin off
	auto_https disable_redirects
	grace_period 1s
	default_sni 127.0.0.1
	${prelude}
}
${site}`,
    command: (file) => ["caddy", "run", "--adapter", "caddyfile", "--config", file],
  },
};

/** Ends with this process, however that ends: the shell's input is then closed. And with the shell, should that be killed. */
const WHILE_WE_LIVE = 'setpriv --pdeathsig TERM "$@" & pid=$!; cat > /dev/null; kill $pid; wait $pid';

export async function startProxy(name: ProxyName, target: Target, prelude = ""): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), `longwire-${name}-`));
  const place: Place = { folder, port: freePort(), tcpPort: name === "haproxy" ? freePort() : 0, target, prelude };
  makeCertificate(folder);
  const recipe = RECIPES[name];
  const file = join(folder, recipe.file);
  writeFileSync(file, recipe.around(fill(recipe, place), place));
  const url = `https://127.0.0.1:${place.port}`;
  let output = "";
  let child: Bun.Subprocess<"pipe", "pipe", "pipe"> | undefined;

  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true });
  };
  const start = async (): Promise<void> => {
    const started = Bun.spawn(["sh", "-c", WHILE_WE_LIVE, name, ...recipe.command(file, place)], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { PATH: `${process.env["PATH"]}:/usr/sbin`, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
    });
    child = started;
    void collect(started.stdout);
    void collect(started.stderr);
    await until(`${name} answers: ${output}`, () => answers(place.port), 20_000).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${output}`);
    });
  };
  const end = async (): Promise<void> => {
    await child?.stdin.end();
    await child?.exited;
    // Its own children may live a moment longer, and the port with them.
    await until(`${name} is gone`, async () => !(await answers(place.port)), 20_000);
  };
  await start();
  return {
    url,
    tcpPort: place.tcpPort,
    certificate: join(folder, "certificate.pem"),
    output: () => output,
    async restart() {
      await end();
      await start();
    },
    async stop() {
      await end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function fill({ file, replacements }: Recipe, place: Place): string {
  let text = readFileSync(join(ROOT, "deploy/proxies", file), "utf8");
  for (const [from, to] of Object.entries(replacements(place))) {
    if (!text.includes(from)) throw new Error(`deploy/proxies/${file} has no ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

function makeCertificate(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const subject = ["-subj", "/CN=push.example.com", "-addext", "subjectAltName=IP:127.0.0.1,DNS:push.example.com"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const files = ["-keyout", "certificate.key", "-out", "certificate.pem"];
  const { success, stderr } = Bun.spawnSync(["openssl", "req", "-x509", ...curve, ...subject, ...files], {
    cwd: folder,
  });
  if (!success || !existsSync(join(folder, "certificate.pem"))) throw new Error(stderr.toString());
  const [certificate, key] = ["certificate.pem", "certificate.key"].map((file) =>
    readFileSync(join(folder, file), "utf8"),
  );
  writeFileSync(join(folder, "both.pem"), `${certificate}${key}`);
}

async function answers(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}
