/**
 * T12: does a delivery cost the same on a small and on a large server? Deliveries per second stay the same while the
 * subscribers of one channel grow, and the subscribers per channel stay the same while the channels grow; otherwise the
 * share of the HTTP request in a delivery would change, which is no matter of size. For the same reason there is one
 * publisher with one request in flight: more would share writes where publications are small and frequent.
 */
import type { Bench } from "../bench.ts";
import { type FanoutFigures, measureRounds } from "../fanout-measurement.ts";
import { Subscribers } from "../native.ts";
import { type MeasuredServer, stampedData, startLongwire, startWriteLoop } from "../servers.ts";
import { subscribedOverEach } from "../transports.ts";

const SUBSCRIBERS = [100, 1000, 5000, 15_000];
const DELIVERIES_PER_SECOND = 20_000;
const CHANNELS = [1, 10, 100, 1000, 10_000];
const CHANNEL_SUBSCRIBERS = 10;
const CHANNEL_RATE = 1000;
const DATA_BYTES = 128;
const FLAT_WITHIN = 1.5;

interface Step {
  readonly size: number;
  readonly server: string;
  readonly figures: FanoutFigures;
}

export async function runGrowth(bench: Bench): Promise<void> {
  const subscriberSteps: Step[] = [];
  for (const size of SUBSCRIBERS) {
    bench.report.say(`growth, ${size} subscribers`);
    subscriberSteps.push(await subscriberStep(bench, size, await startWriteLoop(bench)));
    subscriberSteps.push(await subscriberStep(bench, size, await startLongwire(bench, "sqlite")));
  }
  say(
    bench,
    `Growth: subscribers of one channel, ${DELIVERIES_PER_SECOND} deliveries/s`,
    "subscribers",
    subscriberSteps,
  );
  const channelSteps: Step[] = [];
  for (const size of CHANNELS) {
    bench.report.say(`growth, ${size} channels`);
    channelSteps.push(await channelStep(bench, size));
  }
  say(
    bench,
    `Growth: channels of ${CHANNEL_SUBSCRIBERS} subscribers, ${CHANNEL_RATE} publications/s`,
    "channels",
    channelSteps,
  );
  const costs = (steps: readonly Step[]): number[] => steps.map(({ figures }) => figures.cpuUsPerDelivery);
  const loop = costs(subscriberSteps.filter((_, index) => index % 2 === 0));
  const longwire = costs(subscriberSteps.filter((_, index) => index % 2 === 1));
  const subscribers = `${SUBSCRIBERS[0]} to ${SUBSCRIBERS.at(-1)} subscribers`;
  setTarget(bench, subscribers, longwire);
  // What the kernel asks for more sockets is in both; this is what Longwire adds.
  const ratios = longwire.map((cost, index) => cost / (loop[index] ?? Number.NaN));
  setTarget(bench, `${subscribers}, as a multiple of the write loop's`, ratios);
  setTarget(bench, `${CHANNELS[0]} to ${CHANNELS.at(-1)} channels`, costs(channelSteps));
}

async function subscriberStep(bench: Bench, size: number, server: MeasuredServer): Promise<Step> {
  const { children, tools } = bench;
  const subscribers = await Subscribers.connect(children, tools, server.port, size, server.subscription);
  const figures = await measureRounds(bench, server, subscribers, {
    rate: DELIVERIES_PER_SECOND / size,
    body: server.publication.body("bench", stampedData(DATA_BYTES)),
    deliveriesPerRequest: size,
    publisherConnections: 1,
  });
  await subscribers.stop();
  await children.stop(server.child);
  return { size, server: server.name, figures };
}

/** Connection n subscribes to the channels n, n + 1, … in a circle: every channel has the same number of subscribers. */
async function channelStep(bench: Bench, size: number): Promise<Step> {
  const server = await startLongwire(bench, "sqlite");
  const connections = Math.max(size, CHANNEL_SUBSCRIBERS);
  const perConnection = Math.min(size, CHANNEL_SUBSCRIBERS);
  const each = Array.from({ length: connections }, (_, connection) => ({
    channels: Array.from({ length: perConnection }, (_, index) => `bench-${(connection + index) % size}`),
  }));
  const subscription = subscribedOverEach("websocket", server, each, bench.folder);
  const subscribers = await Subscribers.connect(bench.children, bench.tools, server.port, connections, subscription);
  const figures = await measureRounds(bench, server, subscribers, {
    rate: CHANNEL_RATE,
    body: server.publication.body("bench-%d", stampedData(DATA_BYTES)),
    modulo: size,
    deliveriesPerRequest: CHANNEL_SUBSCRIBERS,
    publisherConnections: 1,
  });
  await subscribers.stop();
  await bench.children.stop(server.child);
  return { size, server: server.name, figures };
}

function say(bench: Bench, title: string, unit: string, steps: readonly Step[]): void {
  bench.report.table(
    title,
    steps.map(({ size, server, figures }) => ({
      server,
      [unit]: size,
      "CPU us/delivery": figures.cpuUsPerDelivery,
      "delivered %": figures.shareDelivered * 100,
      "p50 ms": figures.p50Us / 1000,
      "p99 ms": figures.p99Us / 1000,
      "load CPU %": figures.loadCpuShare * 100,
    })),
  );
}

function setTarget(bench: Bench, what: string, costs: readonly number[]): void {
  bench.report.target({
    id: "T12",
    what: `highest against lowest cost per delivery, ${what}`,
    measured: Math.max(...costs) / Math.min(...costs),
    limit: FLAT_WITHIN,
    good: "at most",
    unit: "x",
  });
}
