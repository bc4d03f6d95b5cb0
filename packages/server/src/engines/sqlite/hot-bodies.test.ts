import { expect, test } from "bun:test";
import type { Publication } from "../../ports/broker.ts";
import { ChannelHistory } from "../channel-history.ts";
import { bytesOf, HotBodies } from "./hot-bodies.ts";

const RETENTION = { size: 10, ttlMs: 60_000 };

function bodyOf(offset: number): Publication {
  const nothing = { encoding: undefined, name: undefined, user: undefined, session: undefined, exclude: undefined };
  return { offset, time: 0, data: "x".repeat(100), ...nothing };
}

function publish(channel: ChannelHistory, hot: HotBodies): void {
  const body = bodyOf(channel.top + 1);
  channel.append(body.offset, 0, body.offset, body);
  hot.add(channel, body.offset, body);
  channel.trim(RETENTION, 0, (_, dropped) => {
    if (dropped !== null) hot.dropped(dropped);
  });
}

function hotOffsets(channel: ChannelHistory): number[] {
  const kept = Array.from({ length: channel.kept }, (_, index) => channel.first + index);
  return kept.filter((offset) => channel.bodyOf(offset) !== null);
}

test("the newest bodies of all channels stay, whichever channel they are of", () => {
  const size = bytesOf(bodyOf(1));
  const hot = new HotBodies(5 * size);
  const quiet = new ChannelHistory("quiet", "e", 0);
  const busy = new ChannelHistory("busy", "e", 0);
  for (let count = 0; count < 3; count++) publish(quiet, hot);
  for (let count = 0; count < 3; count++) publish(busy, hot);
  expect(hotOffsets(quiet)).toEqual([2, 3]);
  expect(hotOffsets(busy)).toEqual([1, 2, 3]);
  expect(hot.bytes).toBe(5 * size);
});

test("one old publication does not hold the memory of all that came and went after it", () => {
  const size = bytesOf(bodyOf(1));
  const hot = new HotBodies(1_000 * size);
  const quiet = new ChannelHistory("quiet", "e", 0);
  const busy = new ChannelHistory("busy", "e", 0);
  publish(quiet, hot);
  for (let count = 0; count < 50_000; count++) publish(busy, hot);
  expect(hot.bytes).toBe(11 * size);
  expect(hot.waiting).toBeLessThan(10_000);
  expect(hotOffsets(quiet)).toEqual([1]);
  expect(hotOffsets(busy).length).toBe(10);
});
