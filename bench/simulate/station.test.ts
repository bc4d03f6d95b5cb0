import { expect, test } from "bun:test";
import { Agenda } from "./agenda.ts";
import { busiestOf, Station } from "./station.ts";

test("one thing after the other: what comes while it is busy waits", () => {
  const agenda = new Agenda();
  const station = new Station("core", agenda);
  const done: number[] = [];
  for (const us of [1000, 2000]) station.serve(us, () => done.push(agenda.nowMs));
  expect(station.backlogMs).toBe(3);
  agenda.run();
  expect(done).toEqual([1, 3]);
  expect(station.backlogMs).toBe(0);
});

test("waking up costs once after a rest, not between things that follow each other", () => {
  const agenda = new Agenda();
  const station = new Station("Redis", agenda, { wakeUs: 500 });
  expect(station.serve(1000)).toBe(1.5);
  expect(station.serve(1000)).toBe(2.5);
  agenda.run(10);
  expect(station.serve(1000)).toBe(11.5);
});

test("what else it does takes its share: the rest is slower, and counts as busy", () => {
  const agenda = new Agenda();
  const station = new Station("core", agenda, { background: 0.5 });
  expect(station.serve(250_000)).toBe(500);
  expect(station.peakShare).toBe(0.75);
  expect(station.saturatedSeconds).toBe(0);
});

test("seconds that are full are counted, across their borders", () => {
  const agenda = new Agenda();
  const [busy, idle] = [new Station("busy", agenda), new Station("idle", agenda)];
  agenda.run(500);
  busy.serve(2_500_000);
  idle.serve(100_000);
  expect([0, 1, 2, 3].map((second) => busy.shareOf(second))).toEqual([0.5, 1, 1, 0]);
  expect(busy.saturatedSeconds).toBe(2);
  expect(busiestOf([idle, busy])).toBe(busy);
});
