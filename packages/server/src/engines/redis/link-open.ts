/** Opens the way to Redis. */
import { StartupError } from "../../base/failures.ts";
import type { Target } from "./connection.ts";
import type { Link, LinkSettings } from "./link.ts";
import type { LinkDeps } from "./link-core.ts";
import { type Finder, SingleLink } from "./link-single.ts";

/** Rejects with `StartupError` where Redis cannot be used. */
export function openLink(deps: LinkDeps): Promise<Link> {
  const { mode } = deps.settings;
  if (mode === "single") return new SingleLink(deps, fixed(deps.settings)).start();
  throw new StartupError(`redisMode ${mode} is not known`, "use single");
}

function fixed(settings: LinkSettings): Finder {
  const target = targetOf(settings, settings.urls[0] ?? "");
  return { find: () => Promise.resolve(target), mayChange: false, close: () => undefined };
}

/** What an address of `redisUrls` stands for. */
export function targetOf({ ca, user, password, database }: LinkSettings, url: string): Target {
  const { hostname, port, protocol } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  return { host, port: port === "" ? 6379 : Number(port), tls: protocol === "rediss:", ca, user, password, database };
}
