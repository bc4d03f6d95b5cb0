/** The scenarios that `npm run simulate` plays, and their tables. */
import type { Report, Row } from "../report.ts";
import { HOLE, type Hole, simulateHole } from "./hole.ts";
import { PROFILES } from "./profiles.ts";
import { simulateSteady } from "./steady.ts";
import { simulateStorm, type Storm, STORM, type StormFigures } from "./storm.ts";

export interface Choice {
  readonly nodes: readonly number[];
  readonly seed: number;
  /** Of a Redis Cluster. */
  readonly masters: number;
}

/** So full may a master of a Redis Cluster be. */
const MASTER_SHARE = 0.7;

export function saySteady(report: Report, { nodes, seed, masters }: Choice): void {
  for (const profile of PROFILES) {
    const rows = nodes.map((count): Row => {
      const figures = simulateSteady(profile, count, seed, masters);
      const { load } = figures;
      return {
        nodes: count,
        clients: load.clients,
        "publications/s": load.publicationsPerSecond,
        "deliveries/s": load.deliveriesPerSecond,
        "node core %": figures.nodeShare * 100,
        "node MB": figures.nodeGigabytes * 1000,
        "Redis core %": figures.redisShare * 100,
        "masters for 70 % each": Math.ceil((figures.redisShare * masters) / MASTER_SHARE),
        "of that looks %": figures.looksShare * 100,
        "commands/s": figures.redisCommandsPerSecond,
        "messages/s": figures.redisMessagesPerSecond,
        "Redis Mbit/s": figures.redisMegabitsPerSecond,
        "Redis GB": figures.redisGigabytes,
        "p50 ms": spoken(figures.p50Ms),
        "p99 ms": spoken(figures.p99Ms),
        "breaks first": figures.breaksFirst,
        "at x this load": figures.breaksAt,
      };
    });
    report.table(`Everyday work: ${profile.name}`, rows);
  }
}

function spoken(ms: number): number | string {
  return ms === Infinity ? "grows" : ms;
}

function seconds(ms: number): number | string {
  return ms === Infinity ? "never" : ms / 1000;
}

function stormRow(figures: StormFigures): Row {
  return {
    "clients coming back": figures.clients,
    "attempts each": figures.attempts / figures.clients,
    "connects/s at most": figures.connectsPerSecondMax,
    "turned away": figures.turnedAway,
    "knocks unanswered": figures.unanswered,
    "node core % at most": figures.nodePeakShare * 100,
    "Redis core % at most": figures.redisPeakShare * 100,
    "half back s": seconds(figures.halfBackMs),
    "99 % back s": seconds(figures.p99BackMs),
    "all back s": seconds(figures.allBackMs),
    "breaks first": figures.breaksFirst,
  };
}

/** One node needs no Redis. */
function stormOf(storm: Partial<Storm> & { readonly nodes: number }): Storm {
  return { ...STORM, engine: storm.nodes === 1 ? "sqlite" : "redis", ...storm };
}

export function sayStorms(report: Report, { nodes, seed, masters }: Choice): void {
  const { clientsPerNode, channelsPerClient, missedPerChannel } = STORM;
  const each = `${clientsPerNode} clients of ${channelsPerClient} channels a node, ${missedPerChannel} publications missed in each`;
  for (const died of ["one", "all"] as const) {
    const rows = nodes.map((count) => ({
      nodes: count,
      engine: count === 1 ? "sqlite" : "redis",
      ...stormRow(simulateStorm(stormOf({ nodes: count, died, masters }), seed)),
    }));
    report.table(`Storm, ${died === "one" ? "one node dies" : "every node is started anew"}: ${each}`, rows);
  }
}

/** So long may a storm keep something full. */
const FULL_SECONDS_MAX = 5;
const CLIENTS = [1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000] as const;

export function saySearch(report: Report, { nodes, seed, masters }: Choice): void {
  const rows = nodes.flatMap((count) =>
    (["one", "all"] as const).map((died): Row => {
      for (const clientsPerNode of CLIENTS) {
        const figures = simulateStorm(stormOf({ nodes: count, died, masters, clientsPerNode }), seed);
        const { breaksFirst, breaksForSeconds, allBackMs } = figures;
        if (breaksForSeconds <= FULL_SECONDS_MAX) continue;
        return {
          nodes: count,
          died,
          "clients a node": clientsPerNode,
          "breaks first": breaksFirst,
          "all back s": allBackMs / 1000,
        };
      }
      return {
        nodes: count,
        died,
        "clients a node": `over ${CLIENTS.at(-1)}`,
        "breaks first": "nothing",
        "all back s": "",
      };
    }),
  );
  report.table(`Storms that keep something full for more than ${FULL_SECONDS_MAX} s`, rows);
}

export function sayHoles(report: Report, { nodes, seed, masters }: Choice): void {
  const { channelsPerNode, publicationsPerSecond, followers, historySize } = HOLE;
  for (const cutSeconds of [2, 10, 60]) {
    const title = `Holes: cut off from Redis for ${cutSeconds} s; ${channelsPerNode} channels a node, ${publicationsPerSecond} publications/s each, followed by up to ${followers} nodes, ${historySize} kept`;
    const rows = nodes.flatMap((count) => {
      const cuts = count === 1 ? [1] : [1, count];
      return cuts.map((cut) => holeRow({ ...HOLE, nodes: count, masters, cut, cutMs: cutSeconds * 1000 }, seed));
    });
    report.table(title, rows);
  }
}

function holeRow(hole: Hole, seed: number): Row {
  const figures = simulateHole(hole, seed);
  return {
    nodes: hole.nodes,
    "cut off": hole.cut,
    "Redis core % before": figures.redisShareBefore * 100,
    channels: figures.channels,
    reads: figures.reads,
    publications: figures.publications,
    MB: figures.bytes / 1e6,
    "told of loss": figures.told,
    "half whole s": figures.halfWholeMs / 1000,
    "all whole s": figures.allWholeMs / 1000,
    "Redis core % at most": figures.redisPeakShare * 100,
    "node core % at most": figures.nodePeakShare * 100,
    "breaks first": figures.breaksFirst,
  };
}
