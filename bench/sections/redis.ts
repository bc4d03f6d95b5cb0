/**
 * The engine redis: acknowledged publishes from one node beside its Redis, what a publication costs Redis by the number of nodes that follow its
 * channel, and how long it takes from a publish on one node to a client of another.
 */
import { type Bench, median } from "../bench.ts";
import { measureFanout } from "../fanout-measurement.ts";
import { post, Subscribers } from "../native.ts";
import { type Redis, startNode, startRedis } from "../redis.ts";
import { type LongwireServer, stampedData } from "../servers.ts";
import { subscribedOverEach } from "../transports.ts";
import { processTree, threadSeconds } from "../usage.ts";
import { runRedisReturns } from "./redis-returns.ts";

const IN_FLIGHT = 64;
const CHANNELS = 200;
const DATA_BYTES = 128;
const PUBLISHES_PER_SECOND = 15_000;
const NODES = 2;
const LATENCY_RATES = [100, 1000] as const;
const LATENCY_P99_MS = 10;
const WARM_UP_SECONDS = 1;
const SETTLE_MS = 1500;

interface Published {
  readonly rate: number;
  readonly nodeUs: number;
  readonly redisUs: number;
  readonly redisShare: number;
  readonly p99Us: number;
}

export async function runRedis(bench: Bench): Promise<void> {
  const redis = await startRedis(bench);
  const nodes: LongwireServer[] = [];
  for (let count = 0; count < NODES; count++) nodes.push(await startNode(bench, redis.port));
  const [one, other] = nodes;
  if (one === undefined || other === undefined) throw new Error("there are not two nodes");
  await runPublishes(bench, redis, one, nodes);
  await runLatency(bench, one, other);
  for (const { child } of [...nodes, redis]) await bench.children.stop(child);
  await runRedisReturns(bench);
}

/** One client on a node, subscribed to all the channels that are published to. */
function follow(bench: Bench, node: LongwireServer): Promise<Subscribers> {
  const channels = Array.from({ length: CHANNELS }, (_, number) => `bench-${number}`);
  const subscription = subscribedOverEach("websocket", node, [{ channels }], bench.folder);
  return Subscribers.connect(bench.children, bench.tools, node.port, 1, subscription);
}

async function runPublishes(bench: Bench, redis: Redis, one: LongwireServer, nodes: readonly LongwireServer[]) {
  const rows = [];
  const followers: Subscribers[] = [];
  for (let count = 0; count <= nodes.length; count++) {
    const node = nodes[count - 1];
    if (node !== undefined) followers.push(await follow(bench, node));
    await Bun.sleep(SETTLE_MS);
    await publish(bench, redis, one, WARM_UP_SECONDS);
    const found: Published[] = [];
    for (let round = 1; round <= bench.options.rounds; round++) {
      bench.report.say(`redis, ${count} nodes follow, round ${round} of ${bench.options.rounds}`);
      found.push(await publish(bench, redis, one, bench.options.seconds));
    }
    const of = (value: (figures: Published) => number): number => median(found.map(value));
    rows.push({
      "nodes that follow": count,
      "publications/s": of(({ rate }) => rate),
      "p99 ms": of(({ p99Us }) => p99Us) / 1000,
      "publisher's node, CPU us each": of(({ nodeUs }) => nodeUs),
      "Redis, CPU us each": of(({ redisUs }) => redisUs),
      "Redis CPU %": of(({ redisShare }) => redisShare) * 100,
    });
    if (count > 0) continue;
    bench.report.target({
      id: "redis",
      what: "acknowledged publishes from one node",
      measured: of(({ rate }) => rate),
      limit: PUBLISHES_PER_SECOND,
      good: "at least",
      unit: "/s",
    });
  }
  for (const subscribers of followers) await subscribers.stop();
  bench.report.table(`Redis: ${IN_FLIGHT} publishes in flight to ${CHANNELS} channels, one by one over HTTP`, rows);
}

async function publish(bench: Bench, redis: Redis, node: LongwireServer, seconds: number): Promise<Published> {
  const { header } = node.publication;
  const [nodePids, redisPids] = [processTree(node.child.pid), processTree(redis.child.pid)];
  const [nodeBefore, redisBefore] = [threadSeconds(nodePids), threadSeconds(redisPids)];
  const posted = await post(bench.children, bench.tools, {
    port: node.port,
    path: node.publication.path,
    ...(header === undefined ? {} : { header }),
    body: node.publication.body("bench-%d", stampedData(DATA_BYTES)),
    modulo: CHANNELS,
    connections: IN_FLIGHT,
    rate: 0,
    seconds,
  });
  if (posted.failed > 0) throw new Error(`${posted.failed} publishes failed: ${posted.failure}`);
  const redisSeconds = threadSeconds(redisPids) - redisBefore;
  return {
    rate: posted.ok / posted.seconds,
    nodeUs: ((threadSeconds(nodePids) - nodeBefore) * 1e6) / posted.ok,
    redisUs: (redisSeconds * 1e6) / posted.ok,
    redisShare: redisSeconds / posted.seconds,
    p99Us: posted.p99Us,
  };
}

/** Published on one node, delivered on the other. */
async function runLatency(bench: Bench, one: LongwireServer, other: LongwireServer): Promise<void> {
  const subscription = subscribedOverEach("websocket", other, [{ channels: ["bench"] }], bench.folder);
  const subscribers = await Subscribers.connect(bench.children, bench.tools, other.port, 1, subscription);
  const rows = [];
  for (const rate of LATENCY_RATES) {
    const found = [];
    for (let round = 0; round <= bench.options.rounds; round++) {
      const figures = await measureFanout(bench, one, subscribers, {
        rate,
        seconds: round === 0 ? WARM_UP_SECONDS : bench.options.seconds,
        body: one.publication.body("bench", stampedData(DATA_BYTES)),
        deliveriesPerRequest: 1,
        publisherConnections: IN_FLIGHT,
      });
      if (round > 0) found.push(figures);
    }
    const p99Ms = median(found.map(({ p99Us }) => p99Us)) / 1000;
    rows.push({
      "publications/s": rate,
      "delivered %": Math.min(...found.map(({ shareDelivered }) => shareDelivered)) * 100,
      "p50 ms": median(found.map(({ p50Us }) => p50Us)) / 1000,
      "p99 ms": p99Ms,
      "others CPU %": median(found.map(({ othersCpuShare }) => othersCpuShare)) * 100,
    });
    if (rate !== LATENCY_RATES.at(-1)) continue;
    bench.report.target({
      id: "redis",
      what: `from a publish on one node to a client of another, p99 at ${rate}/s`,
      measured: p99Ms,
      limit: LATENCY_P99_MS,
      good: "at most",
      unit: "ms",
    });
  }
  await subscribers.stop();
  bench.report.table("Redis: published on one node, delivered on another", rows);
}
