/** What becomes of channels when a master dies: behind Sentinels, and in a Cluster, whose slots move besides. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { brokerContract } from "../../../test/contracts/broker.ts";
import { draftOf, type OpenEngine } from "../../../test/support/engine.ts";
import { freePort } from "../../../test/support/free-port.ts";
import { type BrokerNode, openNode, openNodeWith } from "../../../test/support/redis-broker.ts";
import {
  type RedisCluster,
  type RedisSentinels,
  startRedisCluster,
  startSentinel,
} from "../../../test/support/redis.ts";
import { prepareRedis } from "../../../test/support/redis-server.ts";
import { until } from "../../../test/support/redis-wait.ts";
import type { Engine } from "../../ports/engine.ts";
import { keyOf } from "./keys.ts";

const PAGE = { from: "earliest", limit: 10_000, bytesMax: 10_000_000 } as const;
const RETENTION = { retentionOf: () => ({ size: 10_000, ttlMs: 600_000 }) };
const SLOW_MS = 120_000;

let sentinels: RedisSentinels;
let cluster: RedisCluster;

beforeAll(async () => {
  [sentinels, cluster] = await Promise.all([startSentinel(), startRedisCluster()]);
}, SLOW_MS);

afterAll(async () => {
  await Promise.all([sentinels.stop(), cluster.stop()]);
});

function behindSentinels(prefix: string): Promise<BrokerNode> {
  const { urls, master, password } = sentinels;
  return openNode({ mode: "sentinel", urls, master, password, prefix }, RETENTION);
}

function inCluster(prefix: string): Promise<BrokerNode> {
  return openNode({ mode: "cluster", urls: cluster.urls, prefix }, RETENTION);
}

let opened = 0;

const openInCluster: OpenEngine = async (settings, sink) => {
  const prefix = `contract${opened++}`;
  const node = await openNodeWith(sink, { mode: "cluster", urls: cluster.urls, prefix }, settings);
  return { broker: node.broker, close: () => node.close() } as unknown as Engine;
};

brokerContract("redis cluster", openInCluster, "its own", "several");

/** Publishes numbers on and on, one after the other, until it is stopped; resolves to those that were acknowledged. */
function publishing(node: BrokerNode, channel: string): { stop: () => Promise<string[]>; refused: () => number } {
  const acknowledged: string[] = [];
  let refused = 0;
  const over = new AbortController();
  const running = (async () => {
    for (let number = 0; !over.signal.aborted; number++) {
      await node.broker.publish(channel, draftOf(`${number}`)).then(
        () => acknowledged.push(`"${number}"`),
        async (error: { error?: unknown }) => {
          if (error.error !== "unavailable") throw error;
          refused++;
          await Bun.sleep(20);
        },
      );
      if (number % 20 === 0) await Bun.sleep(1);
    }
    return acknowledged;
  })();
  return {
    refused: () => refused,
    stop() {
      over.abort();
      return running;
    },
  };
}

const settled = (...nodes: BrokerNode[]): Promise<void> =>
  until("Redis can be used", () => Promise.resolve(nodes.every(({ link }) => link.fault === undefined)));

/** Whether everything that the history has came as a message, or stands between a message and a top that was told. */
async function expectNoSilentHole(node: BrokerNode, channel: string): Promise<void> {
  const { top } = await node.broker.history(channel, PAGE);
  await until("the last ones have come or are told of", () => {
    const told = node.sink.tops.filter((one) => one.channel === channel).map(({ position }) => position.offset);
    const offsets = node.sink.offsets(channel);
    return Promise.resolve(Math.max(0, ...told, ...offsets) >= top.offset);
  });
}

test(
  "[RD-4] a master dies behind Sentinels: its replica goes on in a new epoch, what was replicated is there, once and in order",
  async () => {
    const [one, other] = [await behindSentinels("dies"), await behindSentinels("dies")];
    const { epoch } = await other.broker.subscribe("a");
    const storm = publishing(one, "a");
    await Bun.sleep(300);
    const before = await one.broker.history("a", { ...PAGE, from: "latest" });
    await sentinels.killMaster();
    await settled(one, other);
    await Bun.sleep(300);
    const acknowledged = await storm.stop();
    const { top, publications } = await one.broker.history("a", PAGE);
    expect(top.epoch).not.toBe(epoch);
    const data = publications.map((publication) => publication.data);
    expect(new Set(data).size).toBe(data.length);
    expect(data.toSorted((a, b) => Number(JSON.parse(a)) - Number(JSON.parse(b)))).toEqual(data);
    // Replication is asynchronous: of what was acknowledged the last few before the death may be missing, and nothing else.
    const missing = acknowledged.filter((text) => !data.includes(text));
    expect(missing.length).toBeLessThan(acknowledged.length / 10);
    const { reached } = await other.broker.history("a", { ...PAGE, from: { epoch, offset: 1 } });
    expect(reached).toBe(true);
    expect(before.top.offset).toBeGreaterThan(0);
    await expectNoSilentHole(other, "a");
    await one.close();
    await other.close();
    await sentinels.heal();
  },
  SLOW_MS,
);

test(
  "[RD-4] writes that are lost with their master: positions beyond what the next one has are not reached",
  async () => {
    const node = await behindSentinels("loses");
    await node.broker.subscribe("a");
    const { epoch } = await node.broker.publish("a", draftOf("1"));
    await Bun.sleep(200);
    await sentinels.loseWrites(async () => {
      for (const data of ["2", "3"]) await node.broker.publish("a", draftOf(data));
    });
    await settled(node);
    await until("it is told", () => Promise.resolve(node.sink.tops.some(({ position }) => position.epoch !== epoch)));
    const next = await node.broker.publish("a", draftOf("other 2"));
    expect(next.offset).toBe(2);
    const at = async (offset: number) => {
      const page = await node.broker.history("a", { ...PAGE, from: { epoch, offset } });
      return page.reached ? page.publications.map(({ data }) => data) : "not reached";
    };
    expect(await at(1)).toEqual(['"other 2"']);
    expect(await at(2)).toBe("not reached");
    expect(await at(3)).toBe("not reached");
    await node.close();
    await sentinels.heal();
  },
  SLOW_MS,
);

test(
  "[RD-4] a master that is cut off from its Sentinels is left when they name another",
  async () => {
    const node = await behindSentinels("parted");
    await node.broker.publish("a", draftOf("1"));
    const old = await sentinels.current();
    await sentinels.partitionMaster();
    const current = await sentinels.current();
    expect(current.port).not.toBe(old.port);
    await settled(node);
    await until("the next master has it", async () => {
      await node.broker.publish("a", draftOf("x")).catch(() => undefined);
      return (await current.cli("EXISTS", keyOf("parted", "p", "a"))) === "1";
    });
    await node.close();
    await sentinels.heal();
  },
  SLOW_MS,
);

test("[RD-4] a Sentinel that names a master of long ago: the others are asked, too", async () => {
  const gone = prepareRedis("redis-sentinel", { config: [`sentinel monitor mymaster 127.0.0.1 ${freePort()} 3`] });
  await gone.start();
  const { urls, master, password } = sentinels;
  const node = await openNode({ mode: "sentinel", urls: [gone.url, ...urls], master, password, prefix: "stale" });
  // As long as it takes until Sentinels are listened to, and a second one where the first was the wrong one.
  await Bun.sleep(3_000);
  await until("it is kept", () =>
    node.broker.publish("a", draftOf("x")).then(
      () => true,
      () => false,
    ),
  );
  expect(node.log.lines.filter((line) => line.includes("another master")).length).toBeLessThanOrEqual(1);
  await node.close();
  await gone.stop();
}, 60_000);

test("[RD-9] Sentinels who know no such master", async () => {
  const { urls } = sentinels;
  const failure: unknown = await openNode({ mode: "sentinel", urls, master: "another" }).catch(
    (error: unknown) => error,
  );
  expect(String(failure)).toContain("no master named another");
});

test(
  "[RD-11] slots move: messages come from where they are now, nothing is lost, doubled or out of order",
  async () => {
    const [one, other] = [await inCluster("moves"), await inCluster("moves")];
    const channels = ["a", "b", "{c}"];
    for (const channel of channels) await other.broker.subscribe(channel);
    const storms = channels.map((channel) => publishing(one, channel));
    await Bun.sleep(100);
    for (const channel of channels) {
      const slot = await cluster.slotOf(keyOf("moves", "m", channel));
      const from = await cluster.masterOf(slot);
      const to = (await cluster.masters()).find((master) => master !== from);
      if (to === undefined) throw new Error("there is no other master");
      await cluster.migrateSlot(slot, to);
      await Bun.sleep(100);
    }
    for (const [index, channel] of channels.entries()) {
      const acknowledged = (await storms[index]?.stop()) ?? [];
      const { publications } = await one.broker.history(channel, PAGE);
      const data = publications.map((publication) => publication.data);
      expect(data.filter((text) => acknowledged.includes(text))).toEqual(acknowledged);
      expect(new Set(data).size).toBe(data.length);
      await expectNoSilentHole(other, channel);
    }
    // And they go on as messages.
    for (const channel of channels) {
      const { offset } = await one.broker.publish(channel, draftOf("last"));
      await until("it comes", () => Promise.resolve(other.sink.offsets(channel).includes(offset)));
    }
    await one.close();
    await other.close();
  },
  SLOW_MS,
);

test(
  "[RD-11] a master of the Cluster dies: its replica is used, channels elsewhere go on meanwhile",
  async () => {
    const [one, other] = [await inCluster("killed"), await inCluster("killed")];
    const names = Array.from({ length: 40 }, (_, number) => `c${number}`);
    for (const name of names) await other.broker.subscribe(name);
    for (const name of names) await one.broker.publish(name, draftOf("1"));
    await cluster.killMaster();
    await settled(one, other);
    const epochs = new Map(other.sink.delivered.map(({ channel, epoch }) => [channel, epoch]));
    let renewed = 0;
    for (const name of names) {
      const { offset, epoch } = await one.broker.publish(name, draftOf("2"));
      expect(offset).toBe(2);
      if (epoch !== epochs.get(name)) renewed++;
      await until("it has come", () => Promise.resolve(other.sink.offsets(name).includes(2)));
    }
    expect(renewed).toBeGreaterThan(0);
    expect(renewed).toBeLessThan(names.length);
    expect((await one.broker.channels({ limit: 100 })).map(({ channel }) => channel)).toEqual(names.toSorted());
    await one.close();
    await other.close();
    await cluster.heal();
  },
  SLOW_MS,
);

test(
  "[RD-11] a master hands over to its replica in order: nothing is refused for long, nothing is lost",
  async () => {
    const node = await inCluster("hands");
    await node.broker.subscribe("a");
    const storm = publishing(node, "a");
    const slot = await cluster.slotOf(keyOf("hands", "m", "a"));
    await Bun.sleep(200);
    await cluster.failover(await cluster.masterOf(slot));
    await Bun.sleep(500);
    await settled(node);
    const acknowledged = await storm.stop();
    const { publications } = await node.broker.history("a", PAGE);
    const data = publications.map((publication) => publication.data);
    expect(data.filter((text) => acknowledged.includes(text))).toEqual(acknowledged);
    await expectNoSilentHole(node, "a");
    await node.close();
  },
  SLOW_MS,
);
