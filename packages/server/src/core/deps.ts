/** What actions may use. Types only; `core/core.ts` puts the parts together. */
import type { Clock } from "../base/clock.ts";
import type { Disconnect } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type { Turn } from "../base/turn.ts";
import type { Authority } from "../ports/authority.ts";
import type { Engine } from "../ports/engine.ts";
import type { Hooks } from "../ports/hooks.ts";
import type { Cursors } from "./cursors.ts";
import type { Handovers } from "./handovers.ts";
import type { Hub } from "./hub.ts";
import type { Outbox } from "./outbox.ts";
import type { Limits } from "./limits.ts";
import type { Peers } from "./peers.ts";
import type { Presence } from "./presence.ts";
import type { Session } from "./model.ts";
import type { Sessions } from "./sessions.ts";
import type { Settings } from "./settings.ts";

export interface Core {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly turn: Turn;
  readonly authority: Authority;
  /** Tokens that stand in the request of a connection, in a header or a cookie; until their session is somebody. */
  readonly requestTokens: WeakMap<Session, string>;
  readonly hooks: Hooks;
  readonly engine: Engine;
  readonly peers: Peers;
  readonly handovers: Handovers;
  readonly hub: Hub;
  readonly limits: Limits;
  readonly outbox: Outbox;
  readonly cursors: Cursors;
  readonly presence: Presence;
  readonly sessions: Sessions;
  /** Says goodbye: the session ends now, its connection when the client has taken what is queued. */
  readonly goodbye: (session: Session, goodbye: Disconnect) => void;
  /** Sets the session's next deadline from its state. */
  readonly watch: (session: Session) => void;
}
