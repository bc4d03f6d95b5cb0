import { expect, test } from "bun:test";
import { brokerContract } from "../../../test/contracts/broker.ts";
import { presenceContract } from "../../../test/contracts/presence.ts";
import { stateContract } from "../../../test/contracts/state.ts";
import { draftOf, type OpenEngine, RecordingSink, settingsOf } from "../../../test/support/engine.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { openMemoryEngine } from "./engine.ts";

const open: OpenEngine = (settings, sink, clock) => Promise.resolve(openMemoryEngine(settings, sink, clock));

brokerContract("memory", open);
presenceContract("memory", open);
stateContract("memory", open);

test("the sink is called inside publish", () => {
  const sink = new RecordingSink();
  const { broker } = openMemoryEngine(settingsOf(), sink, new FakeClock());
  void broker.subscribe("a");
  void broker.publish("a", draftOf("x"));
  expect(sink.offsets("a")).toEqual([1]);
});

test("[EN-11] another engine is another life of the numbering", async () => {
  const first = await openMemoryEngine(settingsOf(), new RecordingSink(), new FakeClock()).broker.subscribe("a");
  const second = await openMemoryEngine(settingsOf(), new RecordingSink(), new FakeClock()).broker.subscribe("a");
  expect(second.epoch).not.toBe(first.epoch);
});

test("a closed engine leaves no timer behind", async () => {
  const clock = new FakeClock();
  const engine = openMemoryEngine(settingsOf(), new RecordingSink(), clock);
  expect(engine.health()).toEqual({ ready: true });
  await engine.close();
  expect(clock.timers).toBe(0);
});
