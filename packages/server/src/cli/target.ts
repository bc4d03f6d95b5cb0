/** Which server `publish` and `subscribe` speak to, and with what right. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { loadConfig } from "../config/load.ts";
import { madeKeyFile } from "../config/made-key.ts";
import type { Config } from "../config/schema.ts";
import { type Arguments, type Terminal, UsageError } from "./command.ts";

/** The configuration as the server would read it, without flags of the server. */
export function configOf(args: Arguments, terminal: Terminal): Config {
  const file = args.text("config");
  return loadConfig({ argv: file === undefined ? [] : ["--config", file], env: terminal.env, cwd: terminal.cwd })
    .config;
}

/** `--url`, else LONGWIRE_URL, else the server that this configuration starts. */
export function serverUrl(args: Arguments, terminal: Terminal): URL {
  const given = args.text("url") ?? (terminal.env["LONGWIRE_URL"] || undefined);
  if (given === undefined) return localUrl(configOf(args, terminal));
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url === undefined || !/^(https?|wss?):$/.test(url.protocol)) {
    throw new UsageError(`${JSON.stringify(given)} is no address of a server; write it like http://127.0.0.1:8080`);
  }
  return url;
}

function localUrl({ host = "127.0.0.1", port, tlsCert }: Config): URL {
  const everywhere = host === "0.0.0.0" || host === "::";
  const name = everywhere ? "127.0.0.1" : host;
  const scheme = tlsCert === undefined ? "http" : "https";
  return new URL(`${scheme}://${name.includes(":") ? `[${name}]` : name}:${port}`);
}

/** The same server, another path and scheme: `http` for its API, `ws` for its connections. */
export function endpoint(server: URL, scheme: "http" | "ws", path: string): URL {
  const url = new URL(server);
  const secure = server.protocol === "https:" || server.protocol === "wss:";
  // A server behind a proxy may live below a path.
  url.pathname = `${server.pathname.replace(/\/+$/, "")}${path}`;
  url.search = "";
  return new URL(url.href.replace(/^\w+:/, secure ? `${scheme}s:` : `${scheme}:`));
}

/** `--api-key`, else the configured key, else the one that the server made for itself. */
export function apiKeyOf(args: Arguments, terminal: Terminal): string | undefined {
  const given = args.text("api-key");
  if (given !== undefined) return given;
  const config = configOf(args, terminal);
  const configured = config.apiKey ?? config.apiKeys.find(({ scopes }) => scopes.includes("publish"))?.key;
  if (configured !== undefined) return configured;
  try {
    return readFileSync(resolve(terminal.cwd, madeKeyFile(config)), "utf8").trim();
  } catch {
    // No server has made one here; whether one is needed is for the server to say.
    return undefined;
  }
}
