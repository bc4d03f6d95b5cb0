/** What the core is told at its start: limits and times, already validated. The app makes it from the configuration. */

/** Who may do something: see SPEC.md, group NS. */
export type Who = "everybody" | "signed-in" | "token" | "owner" | "hook" | "nobody";

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
  /** Whether what clients publish is escaped for HTML. */
  readonly escapeHtml: boolean;
}

/** How much one session, one address, one user may ask for. Infinity: no limit. */
export interface LimitSettings {
  readonly commandsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly publishesPerSecond: number;
  /** What may come at once: the rate for so many seconds. */
  readonly burstSeconds: number;
  readonly messageBytesMax: number;
  readonly connectionsPerAddressMax: number;
  readonly connectionsPerUserMax: number;
  readonly publishesPerSecondPerAddress: number;
  readonly publishesPerSecondPerUser: number;
  /** Addresses that are no client's: the limits per address do not hold for them. */
  readonly isExempt: (address: string) => boolean;
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
  /** How long after its token's end a session may still bring a new one. */
  readonly tokenGraceMs: number;
  /** How long a client may take to say who it is, where it has to. */
  readonly connectTimeoutMs: number;
  /**
   * Clients without a token. `tolerated`: nothing is open to them, so one that is still nobody and follows nothing after `connectTimeoutMs`
   * has come for nothing.
   */
  readonly anonymous: "welcome" | "tolerated" | "refused";
  /** About whom the application is asked when they connect. */
  readonly askConnect: "never" | "without-token" | "always";
  readonly limits: LimitSettings;
  readonly channels: ChannelOptions;
  readonly namespaces: ReadonlyMap<string, ChannelOptions>;
}
