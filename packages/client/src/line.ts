/** Line: the narrow view of the client that a subscription may use, so that neither needs to know the other whole. */
import type { Position, ServerFrame } from "@longwire/protocol";
import type { BackoffSettings } from "./backoff.ts";
import { LongwireError } from "./failures.ts";
import type { Clock } from "./platform.ts";
import type { Answer, Draft, RequestPolicy } from "./requests.ts";
import type { ChannelState, ConnectionState } from "./state.ts";

interface LineSettings extends BackoffSettings {
  readonly clock: Clock;
  /** How long the server may take to answer, and to announce what it makes by itself. */
  readonly requestTimeoutMs: number;
  readonly report: (error: unknown) => void;
}

export interface Line {
  readonly settings: LineSettings;
  /** Whether the session stands. */
  readonly connected: boolean;
  /** Sends a command that needs no answer; `false` without a connection. */
  send(draft: Draft): boolean;
  ask(draft: Draft, policy: RequestPolicy, answer: Answer): void;
  /** Gives the server a new token for the session; `undefined` where there is no way to get one. */
  renewToken(): Promise<void> | undefined;
  /** The position kept from an earlier page. */
  saved(channel: string): Position | undefined;
  /** A position moved, or is forgotten. `made`: of a subscription that the server makes by itself. */
  moved(channel: string, position: Position | undefined, made: boolean): void;
  /** An idempotency key that nobody else makes. */
  newKey(): string;
  /** Gives the connection up and opens the next one at once, which brings what was missed since each position. */
  reopen(): void;
  /** Why there is no connection and will be none unless the application asks. */
  readonly ended: LongwireError | undefined;
  /** Tells when that becomes so; call the result to hear no more. */
  onEnd(run: (error: LongwireError) => void): () => void;
}

interface Stateful<State> {
  readonly state: State;
  on(event: "state", handler: (state: State) => void): () => void;
}

/** Resolves once `target` has this status; fails when the channel is refused, or the connection is ended. */
export async function reach<State extends ChannelState | ConnectionState>(
  line: Line,
  target: Stateful<State>,
  status: State["status"],
): Promise<void> {
  if (target.state.status === status) return;
  if (line.ended) throw line.ended;
  await new Promise<void>((resolve, reject) => {
    const settle = (error?: LongwireError): void => {
      offState();
      offEnd();
      if (error) reject(error);
      else resolve();
    };
    const offState = target.on("state", (state) => {
      if (state.status === status) settle();
      else if (state.status === "unsubscribed") {
        settle(new LongwireError("refused", state.reason ?? state.status, state.code));
      }
    });
    const offEnd = line.onEnd(settle);
  });
}

/** The answer of a type. */
export type FrameOf<Type> = Extract<ServerFrame, { type: Type }>;

/** Asks, and resolves to the answer, which has to be of the given type. */
export function request<Type extends ServerFrame["type"]>(
  line: Line,
  draft: Draft,
  policy: RequestPolicy,
  type: Type,
): Promise<FrameOf<Type>> {
  return new Promise((resolve, reject) => {
    line.ask(draft, policy, (answer) => {
      if (answer instanceof LongwireError) reject(answer);
      else if (answer.type === type) resolve(answer as FrameOf<Type>);
      else reject(new LongwireError("refused", `answered with ${answer.type}`));
    });
  });
}
