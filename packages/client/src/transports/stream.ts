/** HTTP streaming: the answer of a POST that goes on for as long as it can, one frame per line. */
import type { BodyLike } from "../platform.ts";
import { endpoint, post } from "./http.ts";
import { oneWayTransport } from "./one-way.ts";
import type { OneWaySettings } from "./outgoing.ts";
import { BROKEN, type Transport } from "./transport.ts";

export function streamTransport(settings: OneWaySettings): Transport {
  return oneWayTransport("stream", settings, ({ url, lines, received, failed }) =>
    post(
      settings,
      endpoint(url, "stream"),
      lines,
      // A platform that gives the answer only as a whole has no body here, which fails like every other block on the way.
      async ({ body }) => {
        await readLines(body as BodyLike, received);
        failed(BROKEN, "the connection broke");
      },
      failed,
    ),
  );
}

async function readLines(body: BodyLike, received: (line: string) => void): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() as string;
    for (const line of lines) received(line);
  }
}
