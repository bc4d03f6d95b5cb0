/**
 * A master, two replicas and three Sentinels, which notice a dead master within two seconds:
 *
 *     const sentinels = await startSentinel({ appendonly: "everysec" });
 *     openEngine({ redisMode: "sentinel", redisUrls: sentinels.urls, redisMaster: sentinels.master, redisPassword: sentinels.password });
 *     await sentinels.failover();                // in order, as an operator asks for it
 *     await sentinels.killMaster();              // resolves when another is the master
 *     await sentinels.loseWrites(async () => publish());   // what happens in it is acknowledged, and gone with its master
 *     await (await sentinels.current()).cli("DBSIZE");
 *     await sentinels.stop();
 *
 * The replicas and the Sentinels have users of their own, so that the master can be cut off from them while clients still reach it. There is
 * always a password for these, or whoever is refused would go on as one of them. The Sentinels themselves ask for none.
 */
import { prepareRedis, type RedisOptions, type RedisServer, startRedis } from "./redis-server.ts";
import { until } from "./redis-wait.ts";

const MASTER = "mymaster";
const QUORUM = 2;
/** A machine that is busy with the tests must not look like a dead one: masters would change for nothing. */
const DOWN_AFTER_MS = 2000;
const FAILOVER_MS = 6000;
const SECRET = "behind-the-scenes";
const INSIDERS = ["insider-replica", "insider-sentinel"] as const;

export interface RedisSentinels {
  /** Of the Sentinels. */
  readonly urls: readonly string[];
  /** Under which name they know the master. */
  readonly master: string;
  /** Of the master and the replicas. */
  readonly password: string;
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];
  /** The master, as most Sentinels see it. */
  current(): Promise<RedisServer>;
  /**
   * Asks for another master; resolves when there is one. Nothing is lost but what was not replicated in that moment. The old one follows
   * the new one some ten seconds later: `heal` waits for that.
   */
  failover(): Promise<void>;
  /** Kills the master; resolves to the new one. The old one stays dead until `heal`. */
  killMaster(): Promise<RedisServer>;
  /**
   * Cuts the master off from its replicas and the Sentinels while clients still write to it: what they write until another is elected
   * is lost. Resolves when another is the master and the old one may be reached again; `heal` waits until it follows.
   */
  partitionMaster(): Promise<void>;
  /** What `run` writes is acknowledged by the master alone, which then dies: the writes are lost. Resolves when there is another master. */
  loseWrites(run: () => Promise<void>): Promise<void>;
  /** Starts what is dead, lets continue what is paused; resolves when all replicas follow the master. */
  heal(): Promise<void>;
  stop(): Promise<void>;
}

export async function startSentinel(options: Omit<RedisOptions, "tls"> = {}): Promise<RedisSentinels> {
  const parts: RedisServer[] = [];
  try {
    return await assemble(options, parts);
  } catch (error) {
    await Promise.all(parts.map((part) => part.stop()));
    throw error;
  }
}

async function assemble(
  { password = "for-clients", ...more }: Omit<RedisOptions, "tls">,
  parts: RedisServer[],
): Promise<RedisSentinels> {
  const options = { ...more, password };
  const users = INSIDERS.map((name) => `user ${name} on >${SECRET} allchannels allkeys allcommands`);
  const config = [...users, `masteruser ${INSIDERS[0]}`, `masterauth ${SECRET}`, ...(options.config ?? [])];
  const first = await startRedis({ ...options, config });
  parts.push(first);
  const following = [...config, `replicaof 127.0.0.1 ${first.port}`];
  const replicas = await Promise.all([1, 2].map(() => startRedis({ ...options, config: following })));
  parts.push(...replicas);
  const servers = [first, ...replicas];
  const watching = [
    `sentinel monitor ${MASTER} 127.0.0.1 ${first.port} ${QUORUM}`,
    `sentinel down-after-milliseconds ${MASTER} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${MASTER} ${FAILOVER_MS}`,
    `sentinel parallel-syncs ${MASTER} 2`,
    `sentinel auth-user ${MASTER} ${INSIDERS[1]}`,
    `sentinel auth-pass ${MASTER} ${SECRET}`,
  ];
  const sentinels = [1, 2, 3].map(() => prepareRedis("redis-sentinel", { config: watching }));
  parts.push(...sentinels);
  await Promise.all(sentinels.map((sentinel) => sentinel.start()));

  const masterPort = async (): Promise<number | undefined> => {
    const votes = await Promise.all(
      sentinels.map((sentinel) =>
        sentinel
          .cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
          .then((answer) => Number(answer.split("\n")[1]))
          .catch(() => 0),
      ),
    );
    return votes.find((port) => port !== 0 && votes.filter((vote) => vote === port).length >= QUORUM);
  };
  const masterNow = async (): Promise<RedisServer | undefined> => {
    const port = await masterPort();
    const server = servers.find((candidate) => candidate.port === port);
    const role = await server?.cli("ROLE").catch(() => undefined);
    return role?.startsWith("master") === true ? server : undefined;
  };
  const elected = async (before: RedisServer): Promise<RedisServer> => {
    let found: RedisServer | undefined;
    await until("another master", async () => {
      found = await masterNow();
      return found !== undefined && found !== before;
    });
    return found as RedisServer;
  };
  const current = async (): Promise<RedisServer> => {
    let found: RedisServer | undefined;
    await until("a master", async () => (found = await masterNow()) !== undefined);
    return found as RedisServer;
  };
  const followed = (): Promise<void> =>
    until("all to follow the master", async () => {
      const master = await masterNow();
      const replication = (await master?.cli("INFO", "replication").catch(() => "")) ?? "";
      const following = replication.match(/^slave\d+:.*state=online/gm) ?? [];
      if (following.length < servers.length - 1) return false;
      const views = await Promise.all(sentinels.map((sentinel) => viewOf(sentinel)));
      return views.every(({ replicas, others, flags }) => replicas >= 2 && others >= 2 && flags === "master");
    });
  const admit = async (server: RedisServer, isAdmitted: boolean): Promise<void> => {
    for (const name of INSIDERS) {
      await server.cli("ACL", "SETUSER", name, isAdmitted ? "on" : "off");
      // Those that are connected would stay.
      if (!isAdmitted) await server.cli("CLIENT", "KILL", "USER", name);
    }
  };

  const setup: RedisSentinels = {
    urls: sentinels.map(({ url }) => url),
    master: MASTER,
    password,
    servers,
    sentinels,
    current,
    async failover() {
      const before = await current();
      await sentinels[0]?.cli("SENTINEL", "FAILOVER", MASTER);
      await elected(before);
    },
    async killMaster() {
      const before = await current();
      await before.kill();
      return elected(before);
    },
    async partitionMaster() {
      const before = await current();
      await admit(before, false);
      await elected(before);
      await admit(before, true);
    },
    async loseWrites(run) {
      const before = await current();
      // Paused replicas would not do: they read what lies in their sockets when they go on.
      await admit(before, false);
      await run();
      await before.kill();
      await elected(before);
    },
    async heal() {
      for (const part of parts) {
        if (part.isRunning) part.continue();
        else await part.start();
      }
      await followed();
    },
    async stop() {
      await Promise.all(parts.map((part) => part.stop()));
    },
  };
  await followed();
  return setup;
}

interface View {
  readonly replicas: number;
  readonly others: number;
  readonly flags: string;
}

async function viewOf(sentinel: RedisServer): Promise<View> {
  const lines = (await sentinel.cli("SENTINEL", "MASTER", MASTER).catch(() => "")).split("\n");
  const field = (name: string): string => lines[lines.indexOf(name) + 1] ?? "";
  return {
    replicas: Number(field("num-slaves")),
    others: Number(field("num-other-sentinels")),
    flags: field("flags"),
  };
}
