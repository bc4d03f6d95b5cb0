/**
 * Lanes: commands about one channel of a session that wait for the application's answer to an earlier one. They are carried out one after
 * the other, in the order in which they came; other channels go on, and so does everybody else.
 */
import { ReplyError } from "../base/failures.ts";
import type { Input } from "../ports/protocol.ts";

/** Questions that a session may have open at the same time: one with many channels must not be all that the application hears of. */
const LANES_MAX = 4;

interface Waiting {
  readonly command: Input;
  readonly bytes: number;
}

export interface LaneWork {
  /** Never rejects; resolves to what was wrong. */
  readonly carryOut: (command: Input) => Promise<unknown>;
  /** Whether the next one is still wanted. */
  readonly goesOn: (failure: unknown) => boolean;
  /** So many bytes have left the queue. */
  readonly taken: (bytes: number) => void;
}

export class Lanes {
  readonly #waiting = new Map<string, Waiting[]>();
  #freed: (() => void)[] = [];

  get isFull(): boolean {
    return this.#waiting.size >= LANES_MAX;
  }

  /** Resolves when a lane has ended. */
  freed(): Promise<void> {
    return new Promise((resolve) => void this.#freed.push(resolve));
  }

  /** Puts a command behind those of its channel; false where none is being carried out. */
  queue(channel: string, command: Input, bytes: number): boolean {
    const lane = this.#waiting.get(channel);
    lane?.push({ command, bytes });
    return lane !== undefined;
  }

  /** Carries out a command, then what was put behind it meanwhile. Resolves when the lane has ended. */
  async run(channel: string, first: Input, { carryOut, goesOn, taken }: LaneWork): Promise<void> {
    const lane: Waiting[] = [];
    this.#waiting.set(channel, lane);
    let command: Input | undefined = first;
    while (command !== undefined) {
      const failure = await carryOut(command);
      const next: Waiting | undefined = lane.shift();
      command = undefined;
      if (next !== undefined) {
        taken(next.bytes);
        if (goesOn(failure)) command = next.command;
        else for (const { bytes } of lane.splice(0)) taken(bytes);
      }
    }
    this.#waiting.delete(channel);
    const freed = this.#freed;
    this.#freed = [];
    for (const tell of freed) tell();
  }
}

/** Whether a failure passes: the application may be asked again later. */
export function isPassing(failure: unknown): boolean {
  return failure instanceof ReplyError && failure.error === "unavailable";
}
