/**
 * Descriptors: how many clients they are enough for, and what happens when they run out all the same, by connections that never say
 * anything: of those nothing is seen but that descriptors go. Then the server stops accepting, and goes on when there is room again.
 */
import type { Accepting } from "../base/accepting.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { hasRoomBelow } from "../base/descriptors.ts";
import type { Logger } from "../base/log.ts";

/** A look costs 4 microseconds (measured); whoever wants to run the server out of descriptors in between has to open the last eighth of them. */
const CALM_MS = 1000;
const STRAINED_MS = 100;

export interface Marks {
  /** Clients that may be connected where nothing is configured. */
  readonly connections: number;
  /** With so many descriptors open the server stops accepting. */
  readonly stop: number;
  /** So many must be free below that for it to go on. */
  readonly room: number;
}

export function marksOf(descriptors: number): Marks {
  // What is neither a client nor kept back for refusing them: files of the engine, requests of backends, calls of hooks.
  const reserve = clamp(Math.floor(descriptors / 8), 64, 4096);
  const last = clamp(Math.floor(descriptors / 16), 16, 1024);
  return { connections: Math.max(1, descriptors - reserve), stop: descriptors - last, room: Math.ceil(last / 2) };
}

export class DescriptorWatch {
  #timer: Timer | null = null;
  #isPaused = false;

  constructor(
    private readonly marks: Marks,
    private readonly accepting: Accepting,
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly hasRoom: (mark: number, count: number) => boolean = hasRoomBelow,
  ) {
    this.#look();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** Ends, and the sockets are what they were. Throws where a port cannot be had any more; then it goes on. */
  release(): void {
    if (this.#isPaused) this.#resume();
    this.stop();
  }

  #look(): void {
    const { stop, room } = this.marks;
    const isStrained = this.#isPaused ? !this.#resumed() : !this.hasRoom(stop - room, 1);
    if (isStrained && !this.#isPaused && !this.hasRoom(stop, 1)) {
      this.#isPaused = true;
      this.accepting.pause();
      this.log.warn("accepts nobody", { reason: "descriptors run out", openDescriptors: stop });
    }
    // It does not keep the process alive.
    this.#timer?.cancel();
    this.#timer = this.clock.every(isStrained ? STRAINED_MS : CALM_MS, () => this.#look());
  }

  #resumed(): boolean {
    const { stop, room } = this.marks;
    if (!this.hasRoom(stop, room)) return false;
    try {
      this.#resume();
    } catch (error) {
      // Whoever has the port now may let it go.
      this.log.error("cannot accept again", { error });
      return false;
    }
    return true;
  }

  #resume(): void {
    this.accepting.resume();
    this.#isPaused = false;
    this.log.warn("accepts again", {});
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
