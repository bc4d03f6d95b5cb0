/** Whether a Redis server can be used as the gateway needs it; if not, a sentence that says why (RD-9). */
import type { Connection } from "./connection.ts";
import { LinkFault, RedisRefusal } from "./failures.ts";
import { scriptOf } from "./link.ts";

const OLDEST = 7;

/**
 * Tries what the engine's scripts use. A command that is renamed or that the user may not call is found here, and not in the middle of a script that
 * has written already. Returns the command that failed and what Redis said of it.
 */
const TRIAL = scriptOf(`
local key, publish = KEYS[1], ARGV[1]
local hash, list, set, sorted = key .. ':h', key .. ':l', key .. ':u', key .. ':z'
local commands = {
  {'SET', key, '1', 'PX', '1000'}, {'GET', key}, {'INCR', key}, {'PEXPIRE', key, '1000'}, {'PTTL', key}, {'EXISTS', key}, {'DEL', key}, {'UNLINK', key},
  {'HSET', hash, 'a', '1'}, {'HGET', hash, 'a'}, {'HMGET', hash, 'a', 'b'}, {'HGETALL', hash}, {'HLEN', hash}, {'HINCRBY', hash, 'a', '1'}, {'HRANDFIELD', hash, '1'}, {'HDEL', hash, 'a'},
  {'RPUSH', list, 'a'}, {'LLEN', list}, {'LINDEX', list, '0'}, {'LRANGE', list, '0', '1'}, {'LTRIM', list, '1', '-1'},
  {'SADD', set, 'a'}, {'SRANDMEMBER', set, '1'}, {'SSCAN', set, '0'}, {'SREM', set, 'a'},
  {'ZADD', sorted, '0', 'a'}, {'ZRANGEBYLEX', sorted, '-', '+', 'LIMIT', '0', '1'}, {'ZRANGEBYSCORE', sorted, '-inf', '+inf', 'LIMIT', '0', '1'},
  {'ZRANDMEMBER', sorted, '1'}, {'ZRANGE', sorted, '-1', '-1', 'WITHSCORES'}, {'ZREMRANGEBYSCORE', sorted, '-inf', '(0'}, {'ZSCORE', sorted, 'a'}, {'ZCARD', sorted}, {'ZREM', sorted, 'a'},
  {'TIME'}, {'INFO', 'replication'}, {publish, key, ''}, {'PUBSUB', publish == 'PUBLISH' and 'NUMSUB' or 'SHARDNUMSUB', key},
}
for _, command in ipairs(commands) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err then return {command[1], answer.err} end
end
redis.call('DEL', key, hash, list, set, sorted)
if not string.match(redis.call('INFO', 'replication'), 'master_replid:%x+') then
  return {'INFO', 'it does not say master_replid, by which another master is known'}
end
return false
`);

export interface Checked {
  readonly role: "master" | "replica";
}

/** Rejects with `LinkFault`. `trialKey`: of a slot that is this server's, or none where it does not have to be tried. */
export async function checkServer(
  connection: Connection,
  name: string,
  isCluster: boolean,
  trial: { readonly key: string; readonly publishCommand: string } | undefined,
): Promise<Checked> {
  const info = await infoOf(connection, name);
  const version = info.get("redis_version") ?? "unknown";
  if (!(Number.parseInt(version, 10) >= OLDEST))
    throw new LinkFault(`${name} is Redis ${version}`, "the gateway needs Redis 7.0 or newer, or Valkey", true);
  checkMode(name, info.get("redis_mode") ?? info.get("server_mode"), isCluster);
  if (info.get("loading") === "1") throw new LinkFault(`${name} is loading its data`, "wait until it has", false);
  const eviction = evictionOf(info, name);
  if (eviction !== undefined) throw eviction;
  if (info.get("role") !== "master") return { role: "replica" };
  if (trial !== undefined) await tryCommands(connection, name, trial);
  return { role: "master" };
}

/** A policy that throws away what was acknowledged, where there is a limit at which it would. */
function evictionOf(info: ReadonlyMap<string, string>, name: string): LinkFault | undefined {
  const policy = info.get("maxmemory_policy") ?? "noeviction";
  if (policy === "noeviction" || (info.get("maxmemory") ?? "0") === "0") return undefined;
  return new LinkFault(
    `${name} has maxmemory-policy ${policy}: it would throw away what was acknowledged`,
    "set maxmemory-policy noeviction there",
    true,
  );
}

/** Whether that has become so since the start. */
export async function lookForEviction(connection: Connection, name: string): Promise<LinkFault | undefined> {
  return evictionOf(await infoOf(connection, name), name);
}

function checkMode(name: string, mode: string | undefined, isCluster: boolean): void {
  if (mode === "sentinel")
    throw new LinkFault(
      `${name} is a Sentinel`,
      "set redisMode sentinel, and redisMaster to the name of the master",
      true,
    );
  if (mode === "cluster" && !isCluster)
    throw new LinkFault(`${name} is a node of a Redis Cluster`, "set redisMode cluster", true);
}

async function infoOf(connection: Connection, name: string): Promise<Map<string, string>> {
  const text = await connection.send(["INFO"]).catch((error: unknown) => {
    throw faultOf(error, name, "info");
  });
  const lines = String(text).split("\r\n");
  return new Map(
    lines.map((line): [string, string] => [line.split(":", 1)[0] ?? "", line.slice(line.indexOf(":") + 1)]),
  );
}

async function tryCommands(
  connection: Connection,
  name: string,
  { key, publishCommand }: { readonly key: string; readonly publishCommand: string },
): Promise<void> {
  const follow = publishCommand === "PUBLISH" ? "SUBSCRIBE" : "SSUBSCRIBE";
  const fail = (error: unknown): never => {
    throw faultOf(error, name, "eval");
  };
  // Evaluated by its hash, as everything is later.
  await connection.send(["SCRIPT", "LOAD", TRIAL.source]).catch((error: unknown) => {
    throw faultOf(error, name, "script");
  });
  const failed = await connection.send(["EVALSHA", TRIAL.sha, "1", key, publishCommand]).catch(fail);
  if (Array.isArray(failed)) throw commandFault(name, String(failed[0]).toLowerCase(), String(failed[1]));
  const unable = (error: unknown): never => {
    throw faultOf(error, name, follow.toLowerCase());
  };
  await connection.follow(follow, key).catch(unable);
  await connection.send(["PING"]).catch((error: unknown) => {
    throw faultOf(error, name, "ping");
  });
  await connection.follow(follow === "SUBSCRIBE" ? "UNSUBSCRIBE" : "SUNSUBSCRIBE", key).catch(unable);
}

function commandFault(name: string, command: string, said: string): LinkFault {
  const known = /MISCONF|OOM|NOREPLICAS|READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|BUSY/.exec(said);
  if (known !== null) return new LinkFault(`${name} does not take writes: ${said}`, "see to it on the server", false);
  return new LinkFault(
    `${name} does not let the gateway use the command ${command}: ${said}`,
    "the user needs all commands on keys and channels with the prefix, see docs/scaling.md; no command may be renamed",
    true,
  );
}

/** What a refusal during the check means. Other errors are left as they are: the connection broke. */
function faultOf(error: unknown, name: string, command: string): unknown {
  return error instanceof RedisRefusal ? commandFault(name, command, error.message) : error;
}

/** Why no connection came about. */
export function connectFault(error: Error, name: string): LinkFault {
  if (error instanceof LinkFault) return error;
  if (error instanceof RedisRefusal) {
    if (error.word === "WRONGPASS")
      return new LinkFault(`${name} does not accept user and password`, "check redisUser and redisPassword", true);
    if (error.word === "NOAUTH") return new LinkFault(`${name} wants a password`, "set redisPassword", true);
    if (/without any password configured/.test(error.message))
      return new LinkFault(
        `${name} has no password for this user, and one was sent`,
        "check redisUser and redisPassword",
        true,
      );
    if (/unknown command/i.test(error.message))
      return new LinkFault(
        `${name} does not know HELLO: it is older than Redis 7.0, or not Redis`,
        "the gateway needs Redis 7.0 or newer, or Valkey",
        true,
      );
    if (/DB index/i.test(error.message))
      return new LinkFault(`${name} does not have that database: ${error.message}`, "check redisDatabase", true);
    return new LinkFault(`${name} refuses us: ${error.message}`, "see to it on the server", false);
  }
  const { code } = error as { code?: unknown };
  if (typeof code === "string" && /CERT|SELF_SIGNED|TLS|SSL|ALTNAME|UNABLE_TO/.test(code))
    return new LinkFault(
      `the certificate of ${name} is not accepted: ${error.message}`,
      "check redisCa, and the name in the certificate",
      true,
    );
  return new LinkFault(
    `${name} cannot be reached: ${error.message}`,
    "check redisUrls, and whether it runs; a server with TLS wants rediss://, one without it redis://",
    false,
  );
}
