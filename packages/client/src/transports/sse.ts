/** Server-sent events, for platforms that cannot read an answer while it comes, and proxies that let nothing else pass. */
import type { EventSourceConstructor } from "../platform.ts";
import { endpoint } from "./http.ts";
import { oneWayTransport } from "./one-way.ts";
import type { OneWaySettings } from "./outgoing.ts";
import { BROKEN, type Transport } from "./transport.ts";

export function sseTransport(settings: OneWaySettings, EventSource: EventSourceConstructor): Transport {
  return oneWayTransport("sse", settings, ({ url, lines, received, failed }) => {
    const source = new EventSource(endpoint(url, "sse", `commands=${encodeURIComponent(lines)}`));
    // Polyfills on devices have nothing but `on…` properties.
    /* oxlint-disable unicorn/prefer-add-event-listener */
    source.onmessage = ({ data }) => received(data);
    source.onerror = () => {
      // It would come back by itself, with the channels and positions of the beginning.
      source.close();
      failed(BROKEN, "the connection broke");
    };
    return () => source.close();
  });
}
