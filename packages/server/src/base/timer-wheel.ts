/**
 * One timer for all sessions. Deadlines fall into slots of `tickMs`; an item is in at most one slot. Scheduling and
 * cancelling cost a set operation, where a timer each would cost the runtime a heap entry and some hundred bytes per
 * connection.
 */
import type { Clock, Timer } from "./clock.ts";

/** What can be scheduled. The wheel writes `slot`; 0 means not scheduled. */
export interface WheelItem {
  slot: number;
}

export class TimerWheel<Item extends WheelItem> {
  readonly #slots = new Map<number, Set<Item>>();
  /** Runs only while something is scheduled: an idle server has nothing to wake up for. */
  #timer: Timer | null = null;
  #done: number;

  constructor(
    private readonly clock: Clock,
    private readonly tickMs: number,
    private readonly due: (item: Item) => void,
  ) {
    this.#done = this.#slotOf(clock.uptime());
  }

  /** Calls `due(item)` at the first tick after `atMs` (as `clock.uptime` counts); replaces an earlier deadline of the item. */
  schedule(item: Item, atMs: number): void {
    this.#start();
    const slot = Math.max(this.#slotOf(atMs) + 1, this.#done + 1);
    if (item.slot === slot) return;
    this.cancel(item);
    item.slot = slot;
    const items = this.#slots.get(slot);
    if (items === undefined) this.#slots.set(slot, new Set([item]));
    else items.add(item);
  }

  /**
   * Calls `due(item)` then, or at an earlier deadline that the item has already: to move each of thousands that arrive at once costs more than
   * to look at them once too often, later.
   */
  hasten(item: Item, atMs: number): void {
    if (item.slot === 0 || this.#slotOf(atMs) + 1 < item.slot) this.schedule(item, atMs);
  }

  cancel(item: Item): void {
    if (item.slot === 0) return;
    const items = this.#slots.get(item.slot);
    items?.delete(item);
    if (items?.size === 0) this.#slots.delete(item.slot);
    item.slot = 0;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#slots.clear();
  }

  #start(): void {
    if (this.#timer !== null) return;
    this.#done = this.#slotOf(this.clock.uptime());
    this.#timer = this.clock.every(this.tickMs, () => this.#turn());
  }

  #slotOf(ms: number): number {
    return Math.floor(ms / this.tickMs);
  }

  #turn(): void {
    const now = this.#slotOf(this.clock.uptime());
    // A clock that jumped far (a suspended laptop) must not cost a step per missed tick: walk the slots there are.
    const slots =
      now - this.#done > this.#slots.size ? [...this.#slots.keys()].filter((slot) => slot <= now) : undefined;
    if (slots === undefined) for (let slot = this.#done + 1; slot <= now; slot++) this.#fire(slot);
    else for (const slot of slots.toSorted((a, b) => a - b)) this.#fire(slot);
    if (now > this.#done) this.#done = now;
    if (this.#slots.size === 0) this.stop();
  }

  #fire(slot: number): void {
    const items = this.#slots.get(slot);
    if (items === undefined) return;
    this.#slots.delete(slot);
    for (const item of items) item.slot = 0;
    this.#done = Math.max(this.#done, slot);
    for (const item of items) if (item.slot === 0) this.due(item);
  }
}
