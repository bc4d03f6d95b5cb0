/** Engine `memory`: rings in maps, for tests and pure fan-out. Everything ends with the process. */
import type { Clock } from "../../base/clock.ts";
import type { Sink } from "../../ports/broker.ts";
import type { Engine, EngineSettings } from "../../ports/engine.ts";
import { ALONE } from "../../ports/node-bus.ts";
import { SWEEP_INTERVAL_MS } from "../channel-list.ts";
import { LocalPresence } from "../local-presence.ts";
import { MemoryBroker } from "./broker.ts";
import { MemoryState } from "./state.ts";

export function openMemoryEngine(settings: EngineSettings, sink: Sink, clock: Clock): Engine {
  const state = new MemoryState(clock);
  const broker = new MemoryBroker(settings, sink, clock, (channel) => state.forgetChannel(channel));
  const sweep = clock.every(SWEEP_INTERVAL_MS, () => {
    broker.sweep();
    state.sweep();
  });
  return {
    broker,
    presence: new LocalPresence(sink),
    state,
    bus: ALONE,
    health: () => ({ ready: true }),
    close() {
      sweep.cancel();
      return Promise.resolve();
    },
  };
}
