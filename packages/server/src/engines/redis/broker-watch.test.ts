import { expect, test } from "bun:test";
import { RecordingSink } from "../../../test/support/engine.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { RecordingLog } from "../../../test/support/redis-broker.ts";
import { ReplyError } from "../../base/failures.ts";
import { Watch } from "./broker-watch.ts";
import { channelKeys } from "./keys.ts";
import type { Link, Script } from "./link.ts";

const HOUR_MS = 3_600_000;

/** Answers with tops that the test sets; notes which channels it was asked about, and for how long they are to live on. */
class FakeTops {
  readonly asked: string[] = [];
  readonly lives: number[] = [];
  readonly tops = new Map<string, number>();
  failure: Error | undefined;
  returned: () => void = () => undefined;
  atOnce = 0;
  mostAtOnce = 0;

  onReturn(listener: () => void): void {
    this.returned = listener;
  }

  async run(_script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    this.atOnce++;
    this.mostAtOnce = Math.max(this.atOnce, this.mostAtOnce);
    await Promise.resolve();
    this.atOnce--;
    if (this.failure !== undefined) throw this.failure;
    const channels = keys.slice(2).map((key) => key.slice(key.indexOf(":m:") + 3));
    this.asked.push(...channels);
    this.lives.push(Number(args[2]));
    return channels.flatMap((channel) => ["e", this.tops.get(channel) ?? 0]);
  }
}

function setUp(channels: readonly string[], positionTtlMs = HOUR_MS) {
  const clock = new FakeClock();
  const sink = new RecordingSink();
  const link = new FakeTops();
  const log = new RecordingLog();
  const watch = new Watch({
    link: link as unknown as Link,
    sink,
    clock,
    log,
    positionTtlMs,
    lifeOf: () => 2 * HOUR_MS,
  });
  for (const channel of channels)
    watch.followed.set(channel, {
      channel,
      keys: channelKeys("p", channel),
      seen: undefined,
      heard: false,
      rounds: 1,
      roundsLeft: 1,
    });
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left >= 0; left -= 1_000) {
      clock.advance(Math.min(left, 1_000));
      for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
    }
  };
  return { clock, sink, link, log, watch, pass };
}

test("[RD-1] the last message of a channel is lost: its top is told within 15 s, whenever that was", async () => {
  for (const lostAfterMs of [0, 3_000, 6_999]) {
    const { sink, link, watch, pass } = setUp(["a"]);
    await pass(lostAfterMs);
    // One message has come, the one behind it is lost.
    const followed = watch.followed.get("a");
    if (followed !== undefined) followed.heard = true;
    link.tops.set("a", 2);
    await pass(14_999);
    expect(sink.tops).toContainEqual({ channel: "a", position: { epoch: "e", offset: 2 } });
  }
});

test("[RD-1] channels that bring messages are not asked about, quiet ones are, and less and less often", async () => {
  const { link, watch, pass } = setUp(["busy", "quiet"], 1000 * HOUR_MS);
  const hear = (): void => {
    const busy = watch.followed.get("busy");
    if (busy !== undefined) busy.heard = true;
  };
  for (let round = 0; round < 3; round++) {
    hear();
    await pass(7_000);
  }
  expect(link.asked).toEqual(["quiet"]);
  for (let round = 0; round < 600; round++) {
    hear();
    await pass(7_000);
  }
  // After 1 and 5 rounds of 7 s, then every 16.
  expect(link.asked.length).toBe(2 + Math.floor((603 - 5) / 16));
});

test("[RD-1] a channel that has been quiet for long loses a message: its top is told within two minutes", async () => {
  const { sink, link, pass } = setUp(["a"]);
  await pass(1_000_000);
  sink.tops.length = 0;
  link.tops.set("a", 2);
  await pass(120_000);
  expect(sink.tops).toContainEqual({ channel: "a", position: { epoch: "e", offset: 2 } });
});

test("[RD-1] after a return all are asked about at once, and again if there was another return meanwhile", async () => {
  const { sink, link, watch, pass } = setUp(["a", "b"]);
  const followed = watch.followed.get("a");
  if (followed !== undefined) followed.heard = true;
  link.returned();
  link.returned();
  link.returned();
  await pass(0);
  expect(link.asked.toSorted()).toEqual(["a", "a", "b", "b"]);
  expect(sink.tops).toHaveLength(4);
});

test("many channels are asked about in few scripts, and few of these at a time", async () => {
  const { sink, link, pass } = setUp(Array.from({ length: 60_000 }, (_, number) => `c${number}`));
  link.returned();
  while (sink.tops.length < 60_000) await pass(0);
  expect(link.mostAtOnce).toBeLessThanOrEqual(4);
  expect(link.lives.length).toBeLessThan(1_000);
});

test("what is not followed any more is not told, and Redis may be away", async () => {
  const { sink, link, log, watch, pass } = setUp(["a"]);
  link.failure = new ReplyError("unavailable");
  await pass(7_000);
  expect(log.lines).toEqual([]);
  link.failure = undefined;
  link.returned();
  watch.followed.clear();
  await pass(0);
  expect(sink.tops).toEqual([]);
});

test("[EN-16] numberings of what is followed live on", async () => {
  const { link, pass } = setUp(["a"]);
  for (let minute = 0; minute < 10; minute++) await pass(60_000);
  expect(link.lives).toContain(2 * HOUR_MS);
  expect(link.lives.filter((life) => life > 0).length).toBeLessThan(3);
});

test("a closed one leaves no timer", () => {
  const { clock, watch } = setUp([]);
  watch.close();
  expect(clock.timers).toBe(0);
});
