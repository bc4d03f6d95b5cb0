/** `POST /send`: what a client on a one-way transport says. One request at a time, so that commands keep their order. */
import { type Clock, soon } from "../platform.ts";
import { type Failed, type Http, post } from "./http.ts";

export interface OneWaySettings extends Http {
  readonly clock: Clock;
  readonly requestTimeoutMs: number;
}

/** Frames that wait for the request under way share the next, up to this. */
const LENGTH_MAX = 60_000;
/** Longest body that may outlive its page, as a last acknowledgement has to: browsers take 64 KB of such at a time. */
const KEEPALIVE_LENGTH_MAX = 10_000;

/**
 * Gives what sends a frame. It goes on when the link is closed, as what was written to a socket does; once a request has
 * failed, nothing more is sent.
 */
export function outgoing(
  settings: OneWaySettings,
  url: () => string,
  received: (line: string) => void,
  failed: Failed,
): (text: string) => void {
  const waiting: string[] = [];
  let busy = false;
  const flush = (): void => {
    let lines = waiting.shift();
    busy = Boolean(lines);
    if (!lines) return;
    while (lines.length + (waiting[0]?.length ?? LENGTH_MAX) < LENGTH_MAX) lines += `\n${waiting.shift()}`;
    const giveUp = post(
      settings,
      url(),
      lines,
      async (response) => {
        const text = await response.text();
        timer.cancel();
        for (const line of text.split("\n")) if (line) received(line);
        flush();
      },
      (...end) => {
        timer.cancel();
        failed(...end);
      },
      lines.length < KEEPALIVE_LENGTH_MAX,
    );
    const timer = settings.clock.after(settings.requestTimeoutMs, giveUp);
  };
  return (text) => {
    waiting.push(text);
    if (busy) return;
    busy = true;
    soon(flush);
  };
}
