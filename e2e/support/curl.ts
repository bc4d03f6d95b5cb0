/**
 * curl as a client of one-way transports: what it has printed is read while it runs.
 *
 *     const stream = openCurl([`${server.url}/sse/news`, "--compressed"]);
 *     await stream.received(2);                    // the data of two publications
 *     stream.cursor();                             // the last `id:` of an event stream
 *     await stream.stop();                         // as Ctrl-C
 */
import { until } from "./wait.ts";

export interface Curl {
  readonly output: () => string;
  /** Frames of native protocol, of lines and of event streams alike. */
  frames(): Record<string, unknown>[];
  /** The data of the publications so far. */
  data(): unknown[];
  cursor(): string;
  subscribed(): Promise<void>;
  received(count: number): Promise<unknown[]>;
  readonly exited: Promise<number>;
  stop(): Promise<void>;
}

/** How long a publication may take. Far less than the heartbeats of these tests, far more than a busy machine needs. */
const ARRIVAL_MS = 20_000;

export function openCurl(args: readonly string[]): Curl {
  const child = Bun.spawn(["curl", "--silent", "--show-error", "--no-buffer", ...args], {
    stdout: "pipe",
    stderr: "pipe",
  });
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true });
  };
  const read = Promise.all([collect(child.stdout), collect(child.stderr)]);
  const frames = (): Record<string, unknown>[] =>
    // What follows the last line break may not be whole yet.
    output
      .slice(0, output.lastIndexOf("\n") + 1)
      .split("\n")
      .map((line) => line.replace(/^data: ?/, ""))
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const data = (): unknown[] => frames().flatMap((frame) => (frame["type"] === "message" ? [frame["data"]] : []));
  return {
    output: () => output,
    frames,
    data,
    cursor: () => [...output.matchAll(/^id: ?(.*)$/gm)].at(-1)?.[1] ?? "",
    subscribed: () => until(`subscribed: ${output}`, () => output.includes('"subscribed"'), ARRIVAL_MS),
    async received(count) {
      await until(`${count} publications`, () => data().length >= count, ARRIVAL_MS).catch((error: unknown) => {
        throw new Error(`${String(error)}; there is:\n${output}`);
      });
      return data();
    },
    exited: child.exited,
    async stop() {
      child.kill("SIGINT");
      await child.exited;
      await read;
    },
  };
}

/** Runs curl to its end; what it printed. */
export async function runCurl(args: readonly string[]): Promise<string> {
  const curl = openCurl(args);
  await curl.exited;
  // The pipes are empty a moment after the end.
  await curl.stop();
  return curl.output();
}
