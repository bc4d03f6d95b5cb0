/** Clients in the process of the run: pages of the SDK on every transport, and readers that come back on another one each time. */
import { Client } from "@longwire/client";
import type { ServerFrame } from "@longwire/protocol";
import { Random } from "@longwire/protocol/test/random";
import { EventSource } from "eventsource";
import { Roamer } from "../support/roamer.ts";
import { Ledger } from "./ledger.ts";
import type { ClientAccount, Totals } from "./messages.ts";

const TRANSPORTS = [undefined, ["websocket"], ["stream"], ["sse"], ["poll"]] as const;
const STAY_MS = 1500;

export interface Pages {
  isSubscribed(): boolean;
  /** How many subscriptions have not got so far. */
  behind(totals: Totals): number;
  accounts(totals: Totals): ClientAccount[];
  stop(): Promise<void>;
}

interface Data {
  readonly number: number;
}

type Ledgers = ReadonlyMap<string, Ledger>;

export function openPages(options: {
  readonly url: string;
  readonly tcpPort: number;
  readonly channels: readonly string[];
  readonly pages: number;
  readonly roamers: number;
  readonly seed: number;
}): Pages {
  const { url, tcpPort, channels, seed } = options;
  const all: { readonly who: string; readonly channel: string; readonly ledger: Ledger }[] = [];
  const newLedgers = (who: string): Ledgers => {
    const ledgers = new Map(channels.map((channel) => [channel, new Ledger()]));
    for (const [channel, ledger] of ledgers) all.push({ who, channel, ledger });
    return ledgers;
  };
  const pages = Array.from({ length: options.pages }, (_, n) => {
    const transports = TRANSPORTS[n % TRANSPORTS.length];
    return openPage(url, transports, newLedgers(`page ${transports?.join() ?? "of its own choice"}`));
  });
  const roamers = Array.from({ length: options.roamers }, (_, n) => {
    const ledgers = newLedgers("roamer");
    const random = new Random(seed * 1000 + n);
    const watch = watcherOf(ledgers);
    return new Roamer({ target: { url, tcpPort }, channels, random, stayMsMax: STAY_MS, watch });
  });
  return {
    isSubscribed: () => pages.every(({ isSubscribed }) => isSubscribed()) && roamers.every((one) => one.isSubscribed),
    behind: (totals) => all.filter(({ channel, ledger }) => ledger.last < (totals[channel] ?? 0)).length,
    accounts: (totals) =>
      all.map(({ who, channel, ledger }) => ({ who, channel, ...ledger.account(totals[channel] ?? 0) })),
    async stop() {
      for (const { client } of pages) client.disconnect();
      await Promise.all(roamers.map((roamer) => roamer.stop()));
    },
  };
}

function openPage(
  url: string,
  transports: (typeof TRANSPORTS)[number],
  ledgers: Ledgers,
): { readonly client: Client; readonly isSubscribed: () => boolean } {
  const client = new Client(`${url.replace("http", "ws")}/ws`, {
    EventSource,
    backoff: { minMs: 20, maxMs: 500 },
    resetOn: "open",
    ...(transports !== undefined && { transports }),
  });
  const subscribed = new Set<string>();
  for (const [name, ledger] of ledgers) {
    const channel = client.channel<Data>(name);
    channel.on("message", ({ data }) => ledger.got(data.number));
    channel.on("subscribed", ({ recovered }) => {
      if (subscribed.has(name) && !recovered) ledger.tell();
      subscribed.add(name);
    });
    channel.subscribe();
  }
  client.connect();
  return { client, isSubscribed: () => subscribed.size === ledgers.size };
}

function watcherOf(ledgers: Ledgers): (frame: ServerFrame) => void {
  return (frame) => {
    if (frame.type === "subscribed" && !frame.recovered) ledgers.get(frame.channel)?.tell();
    if (frame.type !== "message" || frame.channel === undefined) return;
    ledgers.get(frame.channel)?.got((frame.data as unknown as Data).number);
  };
}
