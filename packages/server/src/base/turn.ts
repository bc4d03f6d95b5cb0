/**
 * Turn: work that is put off to the end of this turn of the event loop, so that what one turn produced can share a write.
 *
 * `setImmediate` and not a microtask: microtasks run after every single callback, and a burst of ten commands in one read
 * is ten callbacks.
 */
export class Turn {
  #jobs: (() => void)[] = [];
  #scheduled = false;

  /** Runs the job once, after the input of this turn has been handled. Jobs added while jobs run wait for the next turn. */
  atEnd(job: () => void): void {
    this.#jobs.push(job);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  /** Resolves at the end of this turn: for whoever has more to do, and must let others act in between. */
  end(): Promise<void> {
    return new Promise((resolve) => this.atEnd(resolve));
  }

  readonly #run = (): void => {
    const jobs = this.#jobs;
    this.#jobs = [];
    this.#scheduled = false;
    for (const job of jobs) job();
  };
}
