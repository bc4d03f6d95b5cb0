import { expect, test } from "bun:test";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { TimerWheel, type WheelItem } from "./timer-wheel.ts";

interface Item extends WheelItem {
  readonly name: string;
}

function build(): { clock: FakeClock; wheel: TimerWheel<Item>; fired: [string, number][] } {
  const clock = new FakeClock(1_000_000);
  const fired: [string, number][] = [];
  const wheel = new TimerWheel<Item>(clock, 100, ({ name }) => fired.push([name, clock.now() - 1_000_000]));
  return { clock, wheel, fired };
}

const item = (name: string): Item => ({ name, slot: 0 });

test("an item is due once, at the first tick after its time", () => {
  const { clock, wheel, fired } = build();
  wheel.schedule(item("a"), 1_000_250);
  wheel.schedule(item("b"), 1_000_100);
  wheel.schedule(item("past"), 999_000);
  clock.advance(1000);
  expect(fired).toEqual([
    ["past", 100],
    ["b", 200],
    ["a", 300],
  ]);
});

test("scheduling again replaces, cancelling removes", () => {
  const { clock, wheel, fired } = build();
  const [a, b] = [item("a"), item("b")];
  wheel.schedule(a, 1_000_100);
  wheel.schedule(b, 1_000_100);
  wheel.schedule(a, 1_000_500);
  wheel.cancel(b);
  wheel.cancel(b);
  clock.advance(1000);
  expect(fired).toEqual([["a", 600]]);
});

test("an item may schedule itself again, and cancel another of the same tick, while it is due", () => {
  const clock = new FakeClock(0);
  const fired: string[] = [];
  const [a, b] = [item("a"), item("b")];
  const wheel: TimerWheel<Item> = new TimerWheel(clock, 100, (due) => {
    fired.push(due.name);
    if (due === a && fired.length === 1) {
      wheel.schedule(b, 5000);
      wheel.schedule(a, clock.now() + 100);
    }
  });
  wheel.schedule(a, 100);
  wheel.schedule(b, 100);
  clock.advance(1000);
  expect(fired).toEqual(["a", "a"]);
  clock.advance(5000);
  expect(fired).toEqual(["a", "a", "b"]);
});

test("hastening an item leaves an earlier deadline as it is, and brings a later one forward", () => {
  const { clock, wheel, fired } = build();
  const a = item("a");
  wheel.schedule(a, 1000);
  wheel.hasten(a, 5000);
  clock.advance(1200);
  expect(fired.map(([name]) => name)).toEqual(["a"]);
  wheel.hasten(a, 9000);
  wheel.hasten(a, 3000);
  clock.advance(2000);
  expect(fired.map(([name]) => name)).toEqual(["a", "a"]);
  clock.advance(20_000);
  expect(fired).toHaveLength(2);
});

test("a clock that jumps far runs everything that is due, in order", () => {
  const { clock, wheel, fired } = build();
  for (let n = 9; n >= 0; n--) wheel.schedule(item(String(n)), 1_000_000 + n * 60_000);
  clock.advance(86_400_000);
  expect(fired.map(([name]) => name)).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
});

test("a wheel with nothing on it has no timer", () => {
  const { clock, wheel, fired } = build();
  expect(clock.timers).toBe(0);
  wheel.schedule(item("a"), 1_000_100);
  expect(clock.timers).toBe(1);
  clock.advance(300);
  expect(clock.timers).toBe(0);
  clock.advance(50_000);
  wheel.schedule(item("b"), clock.now() + 100);
  clock.advance(300);
  expect(fired.map(([name]) => name)).toEqual(["a", "b"]);
});
