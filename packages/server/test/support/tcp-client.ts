/**
 * A bare client of the native protocol over raw TCP, in lines of JSON. It keeps no positions, answers no pings, never comes back.
 *
 *     const bob = await connectTcp(server.tcpPorts[0], { token });          // sends `connect`, waits for `connected`
 *     await bob.request({ type: "subscribe", channel: "room:1" });          // gives it an id, waits for its reply
 *     await bob.received("room:1", 3);                                      // the first three messages, read or to come
 *     expect((await bob.readAll()).at(-1)).toMatchObject({ type: "disconnect" });
 *     bob.socket.send("whatever\n");                                        // what no client would send
 *
 * `connect: false` sends nothing. `frames` holds everything that was read.
 */
import type { MessageFrame, ServerFrame } from "@longwire/protocol";
import { openSocket, type RawSocket } from "./raw-socket.ts";

export async function connectTcp(
  port: number | undefined,
  { connect = true, ...options }: { readonly connect?: boolean } & Readonly<Record<string, unknown>> = {},
): Promise<TcpClient> {
  if (port === undefined) throw new Error("the server has no such port");
  const client = new TcpClient(await openSocket(port));
  if (connect) await client.request({ type: "connect", ...options });
  return client;
}

export class TcpClient {
  readonly frames: ServerFrame[] = [];
  #id = 1000;

  constructor(readonly socket: RawSocket) {}

  send(...frames: readonly Readonly<Record<string, unknown>>[]): void {
    this.socket.send(frames.map((frame) => `${JSON.stringify(frame)}\n`).join(""));
  }

  async next(): Promise<ServerFrame> {
    for (;;) {
      const line = await this.socket.readUntil("\n");
      if (line === "\n") continue;
      const frame = JSON.parse(line) as ServerFrame;
      this.frames.push(frame);
      return frame;
    }
  }

  /** Its reply, whatever it is; what comes before is read too. */
  async request(frame: Readonly<Record<string, unknown>>): Promise<ServerFrame> {
    const id = this.#id++;
    this.send({ ...frame, id });
    for (;;) {
      const reply = await this.next();
      if ("id" in reply && reply.id === id) return reply;
    }
  }

  messages(channel: string): MessageFrame[] {
    return this.frames.filter((frame): frame is MessageFrame => frame.type === "message" && frame.channel === channel);
  }

  async received(channel: string, count: number): Promise<MessageFrame[]> {
    while (this.messages(channel).length < count) await this.next();
    return this.messages(channel);
  }

  /** All frames until the server ends. */
  async readAll(): Promise<ServerFrame[]> {
    const text = await this.socket.readEnd();
    for (const line of text.split("\n")) if (line !== "") this.frames.push(JSON.parse(line) as ServerFrame);
    return this.frames;
  }
}
