/**
 * A rolling restart. One slot after the other gets a new worker, which is ready before the one before it lets go of the sockets. Those stay with their
 * clients until all slots are done, and only then tell them to come back: told slot by slot, half of them would come to a worker that is still to go.
 */
import type { Clock } from "../../base/clock.ts";
import { StartupError } from "../../base/failures.ts";
import type { Config } from "../../config/schema.ts";
import type { Replaced } from "./control-socket.ts";
import { retire, type Slot } from "./slot.ts";
import type { WorkerProcess } from "./worker-process.ts";

/**
 * Where a new worker does not become ready, its slot and those behind it stay as they are. `isGood`: a worker runs with this configuration, so
 * that others can.
 */
export async function replaceAll(
  slots: readonly Slot[],
  configOf: () => Config,
  clock: Clock,
  isGood: () => void,
): Promise<Replaced> {
  const replaced: number[] = [];
  const before: WorkerProcess[] = [];
  let failure: Replaced["failure"];
  for (const slot of slots) {
    try {
      const worker = await slot.replace(configOf());
      if (worker !== undefined) before.push(worker);
      if (replaced.length === 0) isGood();
      replaced.push(slot.number);
    } catch (error) {
      if (!(error instanceof StartupError)) throw error;
      failure = { message: `worker ${slot.number} stays as it was: ${error.message}`, advice: error.advice };
      break;
    }
  }
  await retire(before, clock);
  return { replaced, workers: slots.length, ...(failure !== undefined && { failure }) };
}
