/** What a system says of itself: by its API, and what stands in its Redis. */
import { apiOf } from "longwire/test/server";
import type { Truth } from "./messages.ts";
import type { System } from "./systems.ts";
import type { Stored } from "./verdict.ts";

export type History = readonly Stored[];

const PAGE = 1000;
/** Asking about every channel would take longer than what is waited for. */
const LOOKED_AT = 25;

async function get<T>(url: string, path: string): Promise<T> {
  const { status, body } = await apiOf(() => url).api("GET", path);
  if (status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(body)}`);
  return body as T;
}

/** Where the API differs from the truth, as sentences. */
export async function deviations(url: string, channels: readonly string[], truth: Truth): Promise<string[]> {
  try {
    const wrong: string[] = [];
    const compare = (what: string, said: number, is: number): void => {
      if (said !== is) wrong.push(`${what}: ${said} in place of ${is}`);
    };
    const stats = await get<{ sessions: number; users: number }>(url, "/api/stats");
    compare("sessions", stats.sessions, truth.sessions);
    compare("users", stats.users, truth.users.length);
    const { users } = await get<{ users: { user: string }[] }>(url, `/api/users?limit=${PAGE}`);
    const online = new Set(users.map(({ user }) => user));
    const strangers = [...online].filter((user) => !truth.users.includes(user));
    const missing = truth.users.filter((user) => !online.has(user));
    compare("users online who are not", strangers.length, 0);
    compare("users not online who are", missing.length, 0);
    const step = Math.max(1, Math.floor(channels.length / LOOKED_AT));
    for (let at = 0; at < channels.length; at += step) {
      const channel = channels[at] ?? "";
      const path = `/api/channels/${encodeURIComponent(channel)}/presence`;
      const { sessions } = await get<{ sessions: number }>(url, path);
      compare(`present in ${channel}`, sessions, truth.present[channel] ?? 0);
    }
    return wrong;
  } catch (error) {
    return [String(error)];
  }
}

export async function historyOf(url: string, channel: string): Promise<History> {
  const stored: Stored[] = [];
  let since = "earliest";
  for (;;) {
    const path = `/api/channels/${encodeURIComponent(channel)}/history?limit=${PAGE}&since=${since}`;
    const page = await get<{
      epoch: string;
      publications: { offset: number; data: { number: number } }[];
      more: boolean;
    }>(url, path);
    for (const { offset, data } of page.publications) stored.push({ offset, number: data.number });
    const last = stored.at(-1);
    if (!page.more || last === undefined) return stored;
    since = `${page.epoch}.${last.offset}`;
  }
}

/** Names of pub/sub channels in Redis that somebody follows, sharded ones included. */
export async function followedChannels(system: System): Promise<string[]> {
  const lists = await Promise.all(
    system
      .redisServers()
      .flatMap((server) => [server.cli("PUBSUB", "CHANNELS"), server.cli("PUBSUB", "SHARDCHANNELS")]),
  );
  return lists.flatMap((list) => list.split("\n")).filter((name) => name !== "");
}

/** Connections of nodes to a single Redis; those to several change places by themselves. */
export async function connectionsOf({ redis }: System): Promise<number> {
  if (redis === undefined) return 0;
  const list = await redis.cli("CLIENT", "LIST");
  return list.split("\n").filter((line) => line !== "" && !line.includes("cmd=client|list")).length;
}
