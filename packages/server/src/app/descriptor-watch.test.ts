import { expect, test } from "bun:test";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { DescriptorWatch, marksOf } from "./descriptor-watch.ts";

const nothing = (): undefined => undefined;

test("[LM-1] the marks stand below the limit of descriptors, and leave room for what is no client", () => {
  for (const descriptors of [100, 200, 1024, 20_000, 1_048_576]) {
    const { connections, stop, room } = marksOf(descriptors);
    expect(connections).toBeGreaterThan(0);
    expect(connections).toBeLessThan(stop);
    expect(stop).toBeLessThan(descriptors);
    expect(room).toBeGreaterThan(0);
    expect(room).toBeLessThan(descriptors - connections);
  }
  expect(marksOf(1024)).toEqual({ connections: 896, stop: 960, room: 32 });
});

test("[LM-2] at the mark it stops accepting, goes on when there is room again, and tries again where a port cannot be had", () => {
  const clock = new FakeClock();
  let open = 0;
  const calls: string[] = [];
  let fails = 1;
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => calls.push("error"),
  };
  const accepting = {
    pause: () => calls.push("pause"),
    resume() {
      if (fails-- > 0) throw new Error("taken");
      calls.push("resume");
    },
  };
  const marks = { connections: 80, stop: 100, room: 10 };
  const watch = new DescriptorWatch(marks, accepting, clock, log, (mark, count) => open + count <= mark);
  open = 99;
  clock.advance(1000);
  expect(calls).toEqual([]);
  // It looks more often by now.
  open = 100;
  clock.advance(100);
  expect(calls).toEqual(["pause"]);
  open = 91;
  clock.advance(1000);
  expect(calls).toEqual(["pause"]);
  open = 90;
  clock.advance(100);
  expect(calls).toEqual(["pause", "error"]);
  clock.advance(100);
  expect(calls).toEqual(["pause", "error", "resume"]);
  watch.stop();
  expect(clock.timers).toBe(0);
});

test("[LM-2] one that ends while it accepts nobody lets them in again; where that fails it goes on", () => {
  const clock = new FakeClock();
  const calls: string[] = [];
  let fails = true;
  const log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  const accepting = {
    pause: () => calls.push("pause"),
    resume() {
      if (fails) throw new Error("taken");
      calls.push("resume");
    },
  };
  const watch = new DescriptorWatch({ connections: 80, stop: 100, room: 10 }, accepting, clock, log, () => false);
  expect(calls).toEqual(["pause"]);
  expect(() => watch.release()).toThrow("taken");
  expect(clock.timers).toBe(1);
  fails = false;
  watch.release();
  expect(calls).toEqual(["pause", "resume"]);
  expect(clock.timers).toBe(0);
});
