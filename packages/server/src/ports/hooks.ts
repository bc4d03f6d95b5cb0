/**
 * Hooks: questions to the application, which knows what the gateway cannot: whose cookie this is, who may enter a room, whether a text may be said.
 *
 * Promises of every implementation:
 * - A question is answered with yes, and what it says, or rejects: `ReplyError(forbidden)`, with the application's words, where the
 *   application says no; `ReplyError(unavailable)` where it cannot be reached, does not answer in time or answers nonsense. Neither is
 *   ever taken for the other, nor either for a yes.
 * - It is over within a bounded time, however many questions are asked at once.
 * - Nothing is answered from memory unless the application has said so, and for how long.
 * - What an answer holds is checked: names are good names, data are not too large and not nested too deep.
 * - Questions do not wait for each other's answers: whoever needs an order asks one after the other.
 *
 * A question that the application does not answer is absent; it is not asked then. Notifications (a session has ended, a channel is
 * empty) are no questions, and never hold anything up.
 */
import type { Json } from "@longwire/protocol";
import type { Identity } from "./authority.ts";
import type { RequestView } from "./gateway.ts";

/** Who is this? */
export interface ConnectQuestion {
  /** The session's id. It is told to the client only if the answer is yes. */
  readonly session: string;
  /** The session that the client wants to take up; it does if that is still known and of the same user, and then has that id. */
  readonly resumes: string | undefined;
  /** What the client calls itself (`connect.client`). */
  readonly client: string | undefined;
  readonly request: RequestView;
  /** The wire form of what is said, such as `native`. */
  readonly protocol: string;
  readonly address: string;
  /** As it came: nobody has checked it. */
  readonly token: string | undefined;
}

export interface ConnectAnswer {
  readonly identity: Identity;
  /** What is kept with a new session (`…/data`). */
  readonly data: { readonly [key: string]: Json } | undefined;
}

/** May it read this channel? Asked where the namespace says `hook`, for `subscribe`, and by others for presence and history. */
export interface SubscribeQuestion {
  readonly session: string;
  readonly user: string | undefined;
  readonly channel: string;
  /** `subscribe.token`, as it came. */
  readonly token: string | undefined;
}

/** May it say this here? */
export interface PublishQuestion {
  readonly session: string;
  readonly user: string | undefined;
  readonly channel: string;
  /** JSON text. */
  readonly data: string;
  /** `data` is a string of base64 that stands for bytes. */
  readonly encoding: "base64" | undefined;
  readonly name: string | undefined;
  /** The idempotency key. The same key with another answer is a conflict. */
  readonly key: string | undefined;
}

/** What is said instead: the question's own where nothing was changed. */
export type PublishAnswer = Pick<PublishQuestion, "data" | "encoding" | "name">;

export interface Hooks {
  connect?(question: ConnectQuestion): Promise<ConnectAnswer>;
  subscribe?(question: SubscribeQuestion): Promise<void>;
  publish?(question: PublishQuestion): Promise<PublishAnswer>;
}
