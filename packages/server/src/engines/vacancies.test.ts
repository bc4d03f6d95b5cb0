import { expect, test } from "bun:test";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { draftOf, RecordingSink, settingsOf } from "../../test/support/engine.ts";
import { openMemoryEngine } from "./memory/engine.ts";
import { Vacancies } from "./vacancies.ts";

const HOUR_MS = 3_600_000;

test("[EN-3] a position from before the first publication is good after it", async () => {
  const sink = new RecordingSink();
  const { broker } = openMemoryEngine(settingsOf(), sink, new FakeClock());
  const before = await broker.subscribe("a");
  const { epoch, offset } = await broker.publish("a", draftOf("first"));
  expect([before, { epoch, offset }]).toEqual([
    { epoch, offset: 0 },
    { epoch, offset: 1 },
  ]);
  expect(sink.offsets("a")).toEqual([1]);
  const page = await broker.history("a", { from: before, limit: 10, bytesMax: 1000 });
  expect([page.reached, page.publications.length]).toEqual([true, 1]);
});

test("[EN-16] a channel that was forgotten begins another epoch, and so does no channel that is followed meanwhile", async () => {
  const clock = new FakeClock();
  const { broker } = openMemoryEngine(settingsOf({ positionTtlMs: HOUR_MS }), new RecordingSink(), clock);
  const first = await broker.publish("a", draftOf("one"));
  const followed = await broker.subscribe("b");
  clock.advance(3 * HOUR_MS);
  const second = await broker.publish("a", draftOf("another life"));
  expect(second.offset).toBe(1);
  expect(second.epoch).not.toBe(first.epoch);
  expect((await broker.history("a", { from: first, limit: 10, bytesMax: 1000 })).reached).toBe(false);
  const published = await broker.publish("b", draftOf("at last"));
  expect(published.epoch).toBe(followed.epoch);
});

test("the origin is renewed only by what was numbered in it", () => {
  const vacancies = new Vacancies("o1");
  const renew = (epoch: string, top: number): boolean => vacancies.renew({ epoch, top }, () => "o2");
  expect([renew("other", 5), renew("o1", 0), vacancies.origin]).toEqual([false, false, "o1"]);
  expect([renew("o1", 1), vacancies.origin]).toEqual([true, "o2"]);
});

test("what was followed is told when it comes into being, once", () => {
  const vacancies = new Vacancies("o1");
  vacancies.follow("a");
  vacancies.follow("b");
  vacancies.unfollow("b");
  vacancies.renew({ epoch: "o1", top: 1 }, () => "o2");
  expect(vacancies.fill("a")).toEqual({ epoch: "o1", followed: true });
  expect(vacancies.fill("a")).toEqual({ epoch: "o2", followed: false });
  expect(vacancies.fill("b")).toEqual({ epoch: "o2", followed: false });
});
