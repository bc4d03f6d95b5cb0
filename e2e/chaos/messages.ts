/** What is said between the run and the processes that hold its clients. */
import type { Account } from "./ledger.ts";

export interface ClientPlan {
  readonly channels: readonly string[];
  readonly user: string | undefined;
  readonly token: string | undefined;
}

export interface SwarmPlan {
  readonly url: string;
  readonly seed: number;
  readonly clients: readonly ClientPlan[];
}

/** The last number of each channel. */
export type Totals = Readonly<Record<string, number>>;

export type Wish =
  | { readonly type: "start"; readonly plan: SwarmPlan }
  /** How many subscriptions are not there yet, or have not got so far. */
  | { readonly type: "behind"; readonly totals: Totals }
  /** So many clients go for good, without a word. */
  | { readonly type: "leave"; readonly count: number }
  | { readonly type: "truth" }
  | { readonly type: "report"; readonly totals: Totals }
  /** All go. */
  | { readonly type: "end" };

export interface Truth {
  readonly sessions: number;
  readonly users: readonly string[];
  /** Sessions that are present in a channel. */
  readonly present: Readonly<Record<string, number>>;
}

export interface ClientAccount extends Account {
  readonly channel: string;
  /** What kind of client, for whoever looks for the cause. */
  readonly who: string;
}

export interface Report {
  readonly subscriptions: number;
  readonly connects: number;
  /** Answers and goodbyes by code, and how often. */
  readonly codes: Readonly<Record<string, number>>;
  /** Of those subscriptions that have something to tell. */
  readonly accounts: readonly ClientAccount[];
}

export type Answer = number | Truth | Report;
export interface Asked {
  readonly id: number;
  readonly wish: Wish;
}
export interface Answered {
  readonly id: number;
  readonly answer: Answer;
}
