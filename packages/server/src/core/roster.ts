/**
 * Roster: which users have sessions in this process, told to the engine, so that users are counted once wherever their sessions are (NB-6). It is a
 * room of the presence store with a name that no channel can have; the entries of a process that dies go as all presence does.
 */
import type { Timer } from "../base/clock.ts";
import type { Core } from "./deps.ts";

/** No channel (`channelFault`): nobody can subscribe to it or look into it. */
const ROOM = "@";

/** When what could not be told is told again. */
const AGAIN_MS = 5000;

export class Roster {
  /** Users who came or went in this turn. What the engine is told is how it is at its end. */
  #changed = new Set<string>();
  #failed = new Set<string>();
  #again: Timer | undefined;

  constructor(private readonly core: Pick<Core, "engine" | "peers" | "sessions" | "turn" | "clock" | "log">) {}

  /** The user's first session has come, or the last one has gone. */
  change(user: string): void {
    if (this.#changed.size === 0) this.core.turn.atEnd(() => this.#tell());
    this.#changed.add(user);
  }

  /** Users of all processes. */
  async count(): Promise<number> {
    return (await this.core.engine.presence.count(ROOM)).users;
  }

  stop(): void {
    this.#again?.cancel();
  }

  /** Telling the same twice does no harm, and calls to the engine keep their order: whatever came between, the last one is right. */
  #tell(): void {
    const changed = this.#changed;
    this.#changed = new Set();
    for (const user of changed) {
      const session = `${this.core.peers.self}${user}`;
      const told = this.core.sessions.has(user)
        ? this.core.engine.presence.put(ROOM, { session, user })
        : this.core.engine.presence.drop(ROOM, session);
      told.catch((error: unknown) => this.#fail(user, error));
    }
  }

  #fail(user: string, error: unknown): void {
    this.#failed.add(user);
    if (this.#again !== undefined) return;
    // Once, not for each: while the engine is away all of them fail.
    this.core.log.warn("users cannot be counted", { error });
    this.#again = this.core.clock.after(AGAIN_MS, () => {
      this.#again = undefined;
      const failed = this.#failed;
      this.#failed = new Set();
      for (const each of failed) this.change(each);
    });
  }
}
