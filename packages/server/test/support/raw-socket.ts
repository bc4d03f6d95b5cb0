/**
 * A raw TCP client, for input that no WebSocket or HTTP library would send.
 *
 *     const socket = await openSocket(port);
 *     socket.send("GET /healthz HTTP/1.0\r\n\r\n");
 *     expect((await socket.readResponse()).status).toBe(200);
 *     await socket.readEnd();                                     // what else came, until the other side ended
 *
 *     const socket = await openWebSocket(port, "/ws");            // after the handshake
 *     socket.send(webSocketFrame("text", '{"type":', { fin: false }), webSocketFrame("continuation", '"ping"}'));
 *     expect(JSON.parse((await socket.readFrame())?.text ?? "")).toEqual({ type: "connected", … });
 *     socket.pause();                                             // a client that does not read
 *     socket.destroy();
 *
 * What is read is taken out of what came. Every read ends by a timeout.
 */
import { connect, type Socket } from "node:net";

const WAIT_MS = 10_000;

export const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface RawResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface RawFrame {
  readonly fin: boolean;
  readonly opcode: number;
  readonly payload: Uint8Array;
  readonly text: string;
  /** Of a close frame. */
  readonly code: number | undefined;
  readonly reason: string | undefined;
}

export interface FrameOptions {
  readonly fin?: boolean;
  /** Reserved bits, 0 to 7. */
  readonly reserved?: number;
  /** Clients must mask; false is a violation. */
  readonly mask?: boolean;
  /** The length to claim in place of the true one. */
  readonly length?: number;
}

/** Bytes of a WebSocket frame as a client sends it; `opcode` may be any number, also one that does not exist. */
export function webSocketFrame(
  opcode: keyof typeof OPCODES | number,
  payload: string | Uint8Array = "",
  { fin = true, reserved = 0, mask = true, length }: FrameOptions = {},
): Uint8Array {
  const body = Buffer.from(payload as string);
  const claimed = length ?? body.length;
  const code = typeof opcode === "number" ? opcode : OPCODES[opcode];
  const head = [(fin ? 0x80 : 0) | (reserved << 4) | code];
  const maskBit = mask ? 0x80 : 0;
  if (claimed < 126) head.push(maskBit | claimed);
  else if (claimed < 65_536) head.push(maskBit | 126, claimed >> 8, claimed & 255);
  else {
    const wide = Buffer.alloc(8);
    wide.writeBigUInt64BE(BigInt(claimed));
    head.push(maskBit | 127, ...wide);
  }
  if (!mask) return Buffer.concat([Uint8Array.from(head), body]);
  const key = Uint8Array.of(0x12, 0x34, 0x56, 0x78);
  return Buffer.concat([Uint8Array.from(head), key, body.map((byte, at) => byte ^ (key[at % 4] ?? 0))]);
}

/** Payload of a close frame. */
export function closePayload(code: number, reason = ""): Uint8Array {
  return Buffer.concat([Uint8Array.of(code >> 8, code & 255), Buffer.from(reason)]);
}

export function openSocket(port: number, host = "127.0.0.1"): Promise<RawSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(new RawSocket(socket));
    });
  });
}

/** Opens a connection and makes the handshake; `headers` are added, or replace those of the same name. Rejects unless the answer is 101. */
export async function openWebSocket(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<RawSocket> {
  const socket = await openSocket(port);
  socket.send(upgradeRequest(port, path, headers));
  const { status, body } = await socket.readResponse();
  if (status === 101) return socket;
  socket.destroy();
  throw new Error(`the handshake was answered ${status}: ${body}`);
}

/** The request of a handshake. A header with an empty value is left out. */
export function upgradeRequest(port: number, path: string, headers: Readonly<Record<string, string>> = {}): string {
  const all = {
    Host: `127.0.0.1:${port}`,
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === "" ? [] : [`${name}: ${value}`]));
  return `GET ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
}

export class RawSocket {
  /** Resolves when the other side has ended or reset the connection. */
  readonly ended: Promise<void>;
  #bytes: Buffer = Buffer.alloc(0);
  #chunks: Buffer[] = [];
  #isEnded = false;
  #wake: (() => void) | undefined = undefined;

  constructor(private readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#wake?.();
    });
    // A reset is an end like another here: tests ask what came before it.
    socket.on("error", () => this.#wake?.());
    this.ended = new Promise((resolve) => {
      const end = (): void => {
        this.#isEnded = true;
        this.#wake?.();
        resolve();
      };
      socket.on("end", end);
      socket.on("close", end);
    });
  }

  /** Writes the parts in one write. */
  send(...parts: readonly (string | Uint8Array)[]): void {
    this.socket.write(Buffer.concat(parts.map((part) => Buffer.from(part as string))));
  }

  /** Reads up to and including a text. */
  async readUntil(text: string, timeoutMs = WAIT_MS): Promise<string> {
    const taken = await this.#read((bytes) => {
      const at = bytes.indexOf(text);
      return at < 0 ? undefined : at + Buffer.byteLength(text);
    }, timeoutMs);
    if (taken === undefined) throw new Error(`ended before ${JSON.stringify(text)}: ${this.#rest()}`);
    return taken.toString();
  }

  /** So many bytes; throws when the other side ended before. */
  async readBytes(count: number, timeoutMs = WAIT_MS): Promise<Uint8Array> {
    const taken = await this.#read((bytes) => (bytes.length < count ? undefined : count), timeoutMs);
    if (taken === undefined) throw new Error(`ended before ${count} bytes: ${this.#rest()}`);
    return taken;
  }

  /** Everything until the other side ends. */
  async readEnd(timeoutMs = WAIT_MS): Promise<string> {
    return (await this.readRest(timeoutMs)).toString();
  }

  /** The same as bytes. */
  async readRest(timeoutMs = WAIT_MS): Promise<Buffer> {
    await this.#read(() => undefined, timeoutMs);
    return this.#take(this.#bytes.length);
  }

  /** One HTTP response: by its length, its chunks, or the end of the connection. */
  async readResponse(timeoutMs = WAIT_MS): Promise<RawResponse> {
    const head = await this.readUntil("\r\n\r\n", timeoutMs);
    const [first = "", ...lines] = head.trimEnd().split("\r\n");
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    return { status, headers, body: await this.#readBody(status, headers, timeoutMs) };
  }

  /** The next WebSocket frame; undefined when the other side ended before one was whole. */
  async readFrame(timeoutMs = WAIT_MS): Promise<RawFrame | undefined> {
    const bytes = await this.#read(frameLength, timeoutMs);
    if (bytes === undefined) return undefined;
    if (((bytes[1] ?? 0) & 0x80) !== 0) throw new Error("the server masked a frame");
    const short = (bytes[1] ?? 0) & 127;
    const payload = bytes.subarray(short === 126 ? 4 : short === 127 ? 10 : 2);
    const opcode = (bytes[0] ?? 0) & 15;
    const isClose = opcode === OPCODES.close && payload.length >= 2;
    return {
      fin: ((bytes[0] ?? 0) & 0x80) !== 0,
      opcode,
      payload,
      text: payload.toString(),
      code: isClose ? payload.readUInt16BE(0) : undefined,
      reason: isClose ? payload.subarray(2).toString() : undefined,
    };
  }

  /** Stops reading: what the server sends piles up on its side. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Ends our side; the other may still send. */
  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  async #readBody(status: number, headers: ReadonlyMap<string, string>, timeoutMs: number): Promise<string> {
    if (status < 200 || status === 204 || status === 304) return "";
    if (headers.get("transfer-encoding") === "chunked") {
      let body = "";
      for (;;) {
        const length = Number.parseInt(await this.readUntil("\r\n", timeoutMs), 16);
        const chunk = await this.#read((bytes) => (bytes.length < length + 2 ? undefined : length + 2), timeoutMs);
        if (chunk === undefined) throw new Error("ended within a chunk");
        if (length === 0) return body;
        body += chunk.subarray(0, length).toString();
      }
    }
    const length = headers.get("content-length");
    if (length === undefined) return this.readEnd(timeoutMs);
    const body = await this.#read((bytes) => (bytes.length < Number(length) ? undefined : Number(length)), timeoutMs);
    if (body === undefined) throw new Error("ended within the body");
    return body.toString();
  }

  /** Waits until `lengthOf` knows how many bytes to take, and takes them; undefined when the other side ended before. */
  async #read(lengthOf: (bytes: Buffer) => number | undefined, timeoutMs: number): Promise<Buffer | undefined> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      // An end that is known before looking has nothing behind it.
      const isEnded = this.#isEnded;
      this.#join();
      const length = lengthOf(this.#bytes);
      if (length !== undefined) return this.#take(length);
      if (isEnded) return undefined;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new Error(`nothing in ${timeoutMs} ms but ${this.#rest()}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }

  #join(): void {
    if (this.#chunks.length === 0) return;
    this.#bytes = Buffer.concat([this.#bytes, ...this.#chunks]);
    this.#chunks = [];
  }

  #take(length: number): Buffer {
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }

  #rest(): string {
    return JSON.stringify(this.#bytes.subarray(0, 500).toString("latin1"));
  }
}

/** Length of the frame that the bytes begin with; undefined until it is whole. */
function frameLength(bytes: Buffer): number | undefined {
  if (bytes.length < 2) return undefined;
  const short = (bytes[1] ?? 0) & 127;
  const head = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (bytes.length < head) return undefined;
  const payload = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  return bytes.length < head + payload ? undefined : head + payload;
}
