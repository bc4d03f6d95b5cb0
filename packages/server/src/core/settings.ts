/** What the core is told at its start: limits and times, already validated. The app makes it from the configuration. */

/** Who may do something: see SPEC.md, group NS. */
export type Who = "everybody" | "signed-in" | "token" | "owner" | "nobody";

/** Options of the channels of one namespace. */
export interface ChannelOptions {
  readonly historySize: number;
  readonly historyMs: number;
  /** Where a subscription without a position starts. */
  readonly start: "latest" | "earliest" | "inbox";
  /** Keep acknowledged positions per user (or per user and device). */
  readonly inbox: boolean;
  readonly subscribe: Who;
  readonly publish: Who;
  readonly presence: Who;
  readonly history: Who;
  readonly leaveDelayMs: number;
  /** Whether bare messages also go back to their sender. */
  readonly bareEcho: boolean;
}

export interface Settings {
  readonly version: string;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** How long a one-way stream may last; Infinity where the kernel finds dead peers. */
  readonly streamMaxAgeMs: number;
  readonly queueBytesMax: number;
  readonly queueBytesTotalMax: number;
  readonly publicationBytesMax: number;
  readonly depthMax: number;
  readonly subscriptionsMax: number;
  readonly recoveryMax: number;
  readonly historyPageMax: number;
  readonly presenceListMax: number;
  readonly resumeMs: number;
  readonly channels: ChannelOptions;
  readonly namespaces: ReadonlyMap<string, ChannelOptions>;
}
