/** Long polling: each answer is one more piece of the stream, and the next request carries the positions. */
import type { ServerFrame } from "@longwire/protocol";
import { endpoint, post } from "./http.ts";
import { oneWayTransport } from "./one-way.ts";
import type { OneWaySettings } from "./outgoing.ts";
import type { Transport } from "./transport.ts";

/** The longest that the server keeps a poll waiting unless asked (LP-3): for so long, silence says nothing. */
const WAIT_MS = 25_000;

export function pollTransport(settings: OneWaySettings): Transport {
  return oneWayTransport("poll", settings, ({ url, lines, quiet, received, answered, failed }) =>
    post(
      settings,
      endpoint(url, "poll", quiet ? "quiet=true" : ""),
      lines,
      async (response) => {
        const { frames } = JSON.parse(await response.text()) as { readonly frames: readonly ServerFrame[] };
        // An answer without frames is a sign of life all the same.
        received("");
        for (const frame of frames) {
          received(frame.type === "connected" ? { ...frame, ping: Math.max(frame.ping, WAIT_MS) } : frame);
        }
        answered();
      },
      failed,
    ),
  );
}
