/**
 * Servers measured against each other: at each rate one after the other, so that what is compared is close in time, and all
 * of it again in each round.
 */
import { type Bench, median } from "./bench.ts";
import { type FanoutFigures, measureFanout } from "./fanout-measurement.ts";
import { Subscribers, type Subscription } from "./native.ts";
import type { MeasuredServer } from "./servers.ts";
import { processTree, residentBytes } from "./usage.ts";

const SETTLE_MS = 1500;
const WARM_UP_SECONDS = 1;
const WARM_UP_RATE = 100;
/** Enough that a server that stalls for a moment still meets requests evenly spaced. */
const PUBLISHER_CONNECTIONS = 64;
/** A contender that publishes less than this share of a rate is saturated. */
export const SATURATED_BELOW = 0.95;

export interface Entry {
  readonly name: string;
  readonly server: MeasuredServer;
  readonly subscription: Subscription;
  readonly connections: number;
  /** Of a request; `%d` counts modulo `modulo`. */
  readonly body: string;
  readonly modulo?: number;
  readonly deliveriesPerRequest: number;
  /** Requests a second. */
  readonly rates: readonly number[];
}

export interface Contender extends Entry {
  readonly subscribers: Subscribers;
  readonly bytesPerConnection: number;
  /** By rate, one for each round. */
  readonly figures: Map<number, FanoutFigures[]>;
}

export async function connectContender(bench: Bench, entry: Entry): Promise<Contender> {
  const { server, subscription, connections } = entry;
  const before = residentBytes(processTree(server.child.pid));
  const subscribers = await Subscribers.connect(bench.children, bench.tools, server.port, connections, subscription);
  await Bun.sleep(SETTLE_MS);
  const bytesPerConnection = (residentBytes(processTree(server.child.pid)) - before) / connections;
  return { ...entry, subscribers, bytesPerConnection, figures: new Map() };
}

export async function measureAll(
  bench: Bench,
  what: string,
  contenders: readonly Contender[],
  rates: readonly number[],
): Promise<void> {
  for (const contender of contenders) await measure(bench, contender, WARM_UP_RATE, WARM_UP_SECONDS);
  for (let round = 1; round <= bench.options.rounds; round++) {
    for (const rate of rates) {
      bench.report.say(`${what}, round ${round} of ${bench.options.rounds}, ${rate} requests/s`);
      for (const contender of contenders) {
        if (!contender.rates.includes(rate)) continue;
        const figures = await measure(bench, contender, rate, bench.options.seconds);
        const known = contender.figures.get(rate);
        if (known === undefined) contender.figures.set(rate, [figures]);
        else known.push(figures);
      }
    }
  }
}

function measure(bench: Bench, contender: Contender, rate: number, seconds: number): Promise<FanoutFigures> {
  return measureFanout(bench, contender.server, contender.subscribers, {
    rate,
    seconds,
    body: contender.body,
    ...(contender.modulo === undefined ? {} : { modulo: contender.modulo }),
    deliveriesPerRequest: contender.deliveriesPerRequest,
    publisherConnections: PUBLISHER_CONNECTIONS,
  });
}

/** Contenders may share a server. */
export async function stopContenders(bench: Bench, contenders: readonly Contender[]): Promise<void> {
  for (const { subscribers } of contenders) await subscribers.stop();
  for (const server of new Set(contenders.map(({ server: { child } }) => child))) await bench.children.stop(server);
}

export const cpu = (figures: FanoutFigures): number => figures.cpuUsPerDelivery;
export const p99 = (figures: FanoutFigures): number => figures.p99Us;

export function middle(contender: Contender, rate: number, value: (figures: FanoutFigures) => number): number {
  return median((contender.figures.get(rate) ?? []).map(value));
}

/** Each round's ratio, then their median: the machine's drift between rounds drops out. */
export function ratio(
  contender: Contender,
  rate: number,
  yardstick: Contender,
  yardstickRate: number,
  value: (figures: FanoutFigures) => number,
): number {
  const yardsticks = yardstick.figures.get(yardstickRate) ?? [];
  const ratios = (contender.figures.get(rate) ?? []).map((figures, round) => {
    const other = yardsticks[round];
    return other === undefined ? Number.NaN : value(figures) / value(other);
  });
  return median(ratios);
}

/** The columns that all contests show. */
export function contestRow(contender: Contender, rate: number) {
  const of = (value: (figures: FanoutFigures) => number): number => middle(contender, rate, value);
  const sent = of((figures) => figures.requestsPerSecond);
  return {
    server: contender.name,
    "rate/s": rate,
    "published/s": sent < rate * SATURATED_BELOW ? `${Math.round(sent)} saturated` : `${rate}`,
    "deliveries/s": of((figures) => figures.deliveriesPerSecond),
    "delivered %": of((figures) => figures.shareDelivered) * 100,
    "CPU us/delivery": of(cpu),
  };
}

/** What says whether the figures can be trusted. */
export function contestTail(contender: Contender, rate: number) {
  const of = (value: (figures: FanoutFigures) => number): number => middle(contender, rate, value);
  return {
    "p50 ms": of((figures) => figures.p50Us) / 1000,
    "p99 ms": of(p99) / 1000,
    "KB/connection": contender.bytesPerConnection / 1024,
    "server CPU %": of((figures) => figures.serverCpuShare) * 100,
    "load CPU %": of((figures) => figures.loadCpuShare) * 100,
    "publisher CPU %": of((figures) => figures.publisherCpuShare) * 100,
    "others CPU %": of((figures) => figures.othersCpuShare) * 100,
  };
}
