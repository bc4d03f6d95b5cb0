/**
 * A client of the `ws` package in a Node.js of its own: what a program on the other side of the network uses, not this runtime's sockets.
 *
 *     const client = await startNpmWs(url, { perMessageDeflate: true });
 *     client.say({ text: "hi" });                  // or { base64 }
 *     expect(await client.heard(1)).toEqual([{ text: "hi" }]);
 *     const { code, bytes } = await client.close();          // bytes: what came over the wire
 */
import { join } from "node:path";
import { until } from "./wait.ts";

export interface Heard {
  readonly text?: string;
  readonly base64?: string;
}

export interface NpmWs {
  readonly extensions: string;
  readonly protocol: string;
  say(message: Heard): void;
  heard(count: number): Promise<readonly Heard[]>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string; readonly bytes: number }>;
  close(): NpmWs["closed"];
}

export async function startNpmWs(url: string, options: Readonly<Record<string, unknown>> = {}): Promise<NpmWs> {
  const script = join(import.meta.dir, "npm-ws.mjs");
  const child = Bun.spawn(["node", script, url.replace("http", "ws"), JSON.stringify(options)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines: Record<string, unknown>[] = [];
  const gathered = gather(child.stdout, lines);
  const say = (what: unknown): void => {
    void child.stdin.write(`${JSON.stringify(what)}\n`);
    void child.stdin.flush();
  };
  await until("the client is open", () => lines.length > 0);
  const { extensions, protocol, error } = lines[0] ?? {};
  if (extensions === undefined) throw new Error(`the client did not open: ${String(error)}`);
  const messages = (): Heard[] => lines.filter((line) => "text" in line || "base64" in line);
  const closed = gathered.then(() => lines.at(-1) as unknown as Awaited<NpmWs["closed"]>);
  return {
    extensions: extensions as string,
    protocol: protocol as string,
    say,
    async heard(count) {
      await until(`${count} messages came`, () => messages().length >= count);
      return messages();
    },
    closed,
    close() {
      say({ close: true });
      return closed;
    },
  };
}

async function gather(stream: ReadableStream<Uint8Array>, lines: Record<string, unknown>[]): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) lines.push(JSON.parse(part) as Record<string, unknown>);
  }
}
