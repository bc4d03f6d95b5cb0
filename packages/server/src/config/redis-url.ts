/** The address of a Redis server. */
import { type Kind, refuse } from "./kinds.ts";

const ALLOWED =
  "redis://host:port or rediss://host:port, without user, password and database (redisUser, redisPassword, redisDatabase)";

/** What proves who asks does not belong into it: addresses are shown in logs. */
export const redisUrl: Kind<string> = {
  allowed: ALLOWED,
  schema: { type: "string", pattern: "^rediss?://" },
  check(value, path, report) {
    if (typeof value !== "string" || !URL.canParse(value)) {
      refuse(report, path, ALLOWED, value);
      return "";
    }
    const { protocol, username, password, pathname, search, hash, hostname } = new URL(value);
    const isPlain = [username, password, search, hash].every((part) => part === "") && /^\/?$/.test(pathname);
    // Not shown: it may hold a password.
    if (!isPlain || hostname === "" || !/^rediss?:$/.test(protocol)) report(path, `must be ${ALLOWED}`);
    return value;
  },
  fromText: (word) => word,
};
