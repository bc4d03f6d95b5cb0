/** The door of the HTTP port: who is let in, when, and from where it says it comes; the same for upgrades and streams. */
import type { Clock } from "../base/clock.ts";
import { Disconnect } from "../base/failures.ts";
import type { ForwardedReader } from "../transports/client-address.ts";
import { refusalAnswer } from "../transports/opening.ts";
import type { Admission } from "./admission.ts";

export interface Door {
  readonly clock: Clock;
  readonly admission: Pick<Admission, "ask">;
  /** Where proxies are trusted. */
  readonly forwarded: ForwardedReader | undefined;
}

type Answer = Response | undefined | Promise<Response | undefined>;

/**
 * Serves a client once it is let in, which is at once unless many come at the same time. `isKnown`: it was here a moment ago. One that is
 * turned away is asked to close its connection: else those would be what fills the server.
 */
export function throughDoor(
  { clock, admission }: Door,
  isKnown: boolean,
  serve: () => Answer,
  refuse: (goodbye: Disconnect) => Response = refusalAnswer,
): Answer {
  let waitMs: number;
  try {
    waitMs = admission.ask({ isKnown });
  } catch (error) {
    if (!(error instanceof Disconnect)) throw error;
    const response = refuse(error);
    response.headers.set("connection", "close");
    return response;
  }
  if (waitMs === 0) return serve();
  return new Promise<void>((resolve) => clock.after(waitMs, resolve)).then(serve);
}
