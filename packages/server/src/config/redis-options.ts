/** Options of the engine redis. */
import { integer, list, secret, text, word } from "./kinds.ts";
import { atStart, option, optional, type Table } from "./option.ts";
import { redisUrl } from "./redis-url.ts";

export const REDIS_OPTIONS = {
  redisMode: atStart(
    option(
      word("single", "sentinel", "cluster"),
      "single",
      "How Redis is set up: one server, several behind Sentinel, or Redis Cluster.",
    ),
  ),
  redisUrls: atStart(
    option(
      list(redisUrl, {
        allowed: "a list of addresses, redis://host:port or rediss://host:port (TLS)",
        least: 1,
        plainWords: true,
      }),
      ["redis://127.0.0.1:6379"],
      "Where Redis is: the server, the Sentinels, or some nodes of the Cluster, which name the others.",
    ),
  ),
  redisMaster: atStart(option(text, "mymaster", "The name under which the Sentinels know the master.")),
  redisUser: atStart(optional(text, "the user `default`", "The user of Redis's access list.")),
  redisPassword: atStart(optional(secret(1), "none is sent", "The password of Redis.")),
  redisSentinelUser: atStart(optional(text, "the user `default`", "The user of the Sentinels' access list.")),
  redisSentinelPassword: atStart(optional(secret(1), "none is sent", "The password of the Sentinels.")),
  redisDatabase: atStart(option(integer(0, 10_000), 0, "The number of the database. Redis Cluster has only 0.")),
  redisPrefix: atStart(
    option(
      text,
      "longwire",
      "What every key and pub/sub channel begins with, without braces. Gateways with the same prefix and database serve the same channels.",
    ),
  ),
  redisCa: atStart(
    optional(
      text,
      "the authorities that the system trusts",
      "File with the authority of Redis's certificate, in PEM text, for rediss://.",
    ),
  ),
  redisWaitReplicas: atStart(
    option(
      integer(0, 10),
      0,
      "How many replicas must have a publication before it is acknowledged: a failover then loses less. What they have not got within a second is answered `unavailable`.",
    ),
  ),
} satisfies Table;
