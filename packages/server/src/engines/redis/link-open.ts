/** Opens the way to Redis. */
import type { Target } from "./connection.ts";
import type { Link, LinkSettings } from "./link.ts";
import { ClusterLink } from "./link-cluster.ts";
import type { LinkDeps } from "./link-core.ts";
import { SentinelFinder } from "./link-sentinel.ts";
import { type Finder, SingleLink } from "./link-single.ts";

/** Rejects with `StartupError` where Redis cannot be used. */
export function openLink(deps: LinkDeps): Promise<Link> {
  const { settings, clock } = deps;
  const targets = settings.urls.map((url) => targetOf(settings, url));
  switch (settings.mode) {
    case "single":
      return new SingleLink(deps, fixed(targets)).start();
    case "sentinel": {
      const { sentinelUser: user, sentinelPassword: password } = settings;
      const sentinels = targets.map((target) => ({ ...target, user, password, database: 0 }));
      return new SingleLink(deps, new SentinelFinder(settings, sentinels, clock)).start();
    }
    case "cluster":
      return new ClusterLink(deps, targets).start();
  }
}

function fixed([target]: readonly Target[]): Finder {
  if (target === undefined) throw new Error("no address of Redis was given");
  return { find: () => Promise.resolve(target), mayChange: false, close: () => undefined };
}

/** What an address of `redisUrls` stands for. */
export function targetOf({ ca, user, password, database }: LinkSettings, url: string): Target {
  const { hostname, port, protocol } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  return { host, port: port === "" ? 6379 : Number(port), tls: protocol === "rediss:", ca, user, password, database };
}
