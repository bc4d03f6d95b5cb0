/** Line: the narrow view of the client that a subscription may use, so that neither needs to know the other whole. */
import type { Position, ServerFrame } from "@longwire/protocol";
import { LongwireError } from "./failures.ts";
import type { Clock } from "./platform.ts";
import type { Answer, Draft, RequestPolicy } from "./requests.ts";

export interface Line {
  readonly clock: Clock;
  /** How long the server may take to answer, and to announce what it makes by itself. */
  readonly requestTimeoutMs: number;
  /** Whether the session stands. */
  readonly connected: boolean;
  /** Sends a command that needs no answer; `false` without a connection. */
  send(draft: Draft): boolean;
  ask(draft: Draft, policy: RequestPolicy, answer: Answer): void;
  /** The wait before repeating something for the nth time. */
  backoffMs(attempt: number): number;
  /** Gives the server a new token for the session; `undefined` where there is no way to get one. */
  renewToken(): Promise<void> | undefined;
  /** The position kept from an earlier page. */
  saved(channel: string): Position | undefined;
  /** A position moved, or is forgotten. `made`: of a subscription that the server makes by itself. */
  moved(channel: string, position: Position | undefined, made: boolean): void;
  /** Gives the connection up and opens the next one at once, which brings what was missed since each position. */
  reopen(): void;
  /** Why there is no connection and will be none unless the application asks. */
  readonly ended: LongwireError | undefined;
  /** Tells when that becomes so; call the result to hear no more. */
  onEnd(run: (error: LongwireError) => void): () => void;
  report(error: unknown): void;
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
