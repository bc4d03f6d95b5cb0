/**
 * Posture: what the configured secrets permit (SPEC.md, NS-10 to NS-12): without secrets the server serves this machine alone;
 * what anonymous clients may do depends on who can reach it.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { StartupError } from "../base/failures.ts";
import { newApiKey } from "../base/ids.ts";
import type { ApiKey } from "../config/api-key.ts";
import { madeKeyFile } from "../config/made-key.ts";
import { type Access, asksWhoConnects, checksTokens, type Config } from "../config/schema.ts";

export interface Posture {
  readonly host: string;
  readonly loopback: boolean;
  /** Clients can say who they are, by a token or to the application; else all there is to go by is that they can reach us. */
  readonly hasTokens: boolean;
  readonly keys: readonly ApiKey[];
  /** Where the key lies that the server made for itself; undefined when one is configured. */
  readonly madeKeyFile: string | undefined;
  readonly demo: boolean;
  /** Who may do what where neither `channels` nor the namespace says so. */
  readonly access: Readonly<Record<"subscribe" | "publish" | "presence" | "history", Access>>;
}

export function postureOf(config: Config): Posture {
  const configured = configuredKeys(config);
  const hasKey = configured.length > 0;
  const hasSecret = checksTokens(config);
  const hasIdentities = hasSecret || asksWhoConnects(config);
  const host = config.host ?? (hasKey && hasSecret ? "0.0.0.0" : "127.0.0.1");
  const loopback = isLoopback(host);
  const listeners = config.tcpListeners.map((listener) => listener.host ?? host);
  if (!hasKey && !hasSecret) {
    requireLoopback("host", host);
    for (const [index, address] of listeners.entries()) requireLoopback(`tcpListeners[${index}].host`, address);
  }
  const reader: Access = loopback && listeners.every(isLoopback) && !hasIdentities ? "everybody" : "signed-in";
  return {
    host,
    loopback,
    hasTokens: hasIdentities,
    keys: hasKey ? configured : [makeKey(config)],
    madeKeyFile: hasKey ? undefined : madeKeyFile(config),
    demo: config.demo ?? (!hasKey && !hasSecret),
    access: { subscribe: reader, publish: "token", presence: reader, history: reader },
  };
}

function requireLoopback(option: string, host: string): void {
  if (isLoopback(host)) return;
  throw new StartupError(
    `${option}: without an API key and a token secret the server serves this machine only, not ${host}`,
    "set apiKey (LONGWIRE_API_KEY) and tokenSecret (LONGWIRE_TOKEN_SECRET), or leave `host` out",
  );
}

function configuredKeys({ apiKey, apiKeys }: Config): ApiKey[] {
  const main: ApiKey[] =
    apiKey === undefined ? [] : [{ name: "main", key: apiKey, scopes: ["publish", "read", "manage"] }];
  return [...main, ...apiKeys];
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The key the server made at its first start, or makes now. */
function makeKey(config: Config): ApiKey {
  const file = madeKeyFile(config);
  let key: string;
  try {
    key = readFileSync(file, "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw unusable(config, error);
    key = newApiKey();
    try {
      mkdirSync(config.dataDir, { recursive: true });
      writeFileSync(file, `${key}\n`, { mode: 0o600, flag: "wx" });
      chmodSync(file, 0o600);
    } catch (failure) {
      throw unusable(config, failure);
    }
  }
  if (key.length < 8)
    throw new StartupError(`${file} holds no API key`, "delete the file, and the server makes a new key");
  return { name: "made", key, scopes: ["publish", "read", "manage"] };
}

function unusable(config: Config, error: unknown): StartupError {
  const reason = error instanceof Error ? error.message : String(error);
  return new StartupError(
    `dataDir: the folder ${config.dataDir} cannot be used: ${reason}`,
    "make it a folder this user may write to, or name another one with --data-dir",
  );
}
