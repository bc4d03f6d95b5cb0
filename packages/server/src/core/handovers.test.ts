import { expect, test } from "bun:test";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { FakeConnection } from "../../test/support/fake-connection.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { Handovers } from "./handovers.ts";
import { Session } from "./model.ts";

function sessionUnlessPoll(id: string): Session | undefined {
  return id.startsWith("poll") ? undefined : new Session(id, new FakeConnection(), nativeProtocol(16), 0, 0, 25_000);
}

test("[NB-3] polls that are over keep nobody from being looked at", () => {
  const clock = new FakeClock();
  const confirmed: string[] = [];
  const handovers = new Handovers(clock, sessionUnlessPoll, ({ id }) => confirmed.push(id));
  for (let n = 0; n < 20_000; n++) handovers.confirmLater(`poll${n}`, undefined);
  for (let n = 0; n < 300; n++) handovers.confirmLater(`${n}`, undefined);
  clock.advance(5000);
  // The others have to wait: too many at once would be a storm.
  expect(confirmed.length).toBe(200);
  clock.advance(100);
  expect(confirmed.length).toBe(300);
  expect(clock.timers).toBe(0);
});
