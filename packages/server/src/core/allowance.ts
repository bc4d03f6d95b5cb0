/** Allowance: what a session may still ask for; counted in `limits.ts`. */

/** What a session has left. There while it is used: a session that is silent for a ping's time loses it, and begins with a whole one. */
export class Allowance {
  refused = 0;

  constructor(
    public commands: number,
    public bytes: number,
    public publishes: number,
    public filledAt: number,
  ) {}
}
