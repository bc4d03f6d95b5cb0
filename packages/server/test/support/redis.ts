/** Redis for tests: one server, several behind Sentinels, a Cluster. Each file's header shows how it is used. */
export { type RedisOptions, type RedisServer, startRedis } from "./redis-server.ts";
export { type RedisSentinels, startSentinel } from "./redis-sentinel.ts";
export { type RedisCluster, startRedisCluster } from "./redis-cluster.ts";
