/**
 * What comes from a server in pieces, put together again: chunked bodies, lines, events, WebSocket frames. Each takes bytes as they come
 * and calls `onMessage` for every message that is whole.
 */
import { OPCODES } from "../raw-socket.ts";

export interface Reader {
  push(bytes: Buffer): void;
}

/** Bytes that wait for the rest of their message. */
class Rest {
  #pieces: Buffer[] = [];
  #length = 0;

  push(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
  }

  get length(): number {
    return this.#length;
  }

  /** All of it, in one piece. */
  get bytes(): Buffer {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0] ?? Buffer.alloc(0);
  }

  drop(length: number): void {
    const rest = this.bytes.subarray(length);
    this.#pieces = rest.length === 0 ? [] : [rest];
    this.#length = rest.length;
  }
}

/** Calls `onMessage` for everything that ends with the delimiter, without it. */
export function delimitedReader(delimiter: string, onMessage: (text: string) => void): Reader {
  const rest = new Rest();
  // A message of megabytes comes in many pieces: none of them is searched twice.
  let searched = 0;
  return {
    push(bytes) {
      rest.push(bytes);
      if (!bytes.includes(delimiter.charCodeAt(delimiter.length - 1))) {
        return;
      }
      let start = 0;
      const all = rest.bytes;
      for (let end = all.indexOf(delimiter, searched); end >= 0; end = all.indexOf(delimiter, start)) {
        const text = all.toString("utf8", start, end);
        start = end + delimiter.length;
        onMessage(text);
      }
      rest.drop(start);
      searched = Math.max(0, rest.length - delimiter.length);
    },
  };
}

/** Messages behind a big-endian length of four bytes that counts itself. */
export function prefixedReader(onMessage: (text: string) => void): Reader {
  const rest = new Rest();
  return {
    push(bytes) {
      rest.push(bytes);
      while (rest.length >= 4) {
        const length = rest.bytes.readUInt32BE(0);
        if (rest.length < length) return;
        onMessage(rest.bytes.toString("utf8", 4, length));
        rest.drop(length);
      }
    },
  };
}

/** WebSocket frames of a server, which are neither masked nor in fragments. Binary ones come as base64. */
export function webSocketReader(onFrame: (opcode: number, payload: Buffer) => void): Reader {
  const rest = new Rest();
  return {
    push(bytes) {
      rest.push(bytes);
      for (let length = frameLength(rest); length !== undefined; length = frameLength(rest)) {
        const [head, payload] = length;
        const frame = Buffer.from(rest.bytes.subarray(head, head + payload));
        const opcode = (rest.bytes[0] ?? 0) & 15;
        rest.drop(head + payload);
        onFrame(opcode, frame);
      }
    },
  };
}

export { OPCODES };

function frameLength(rest: Rest): [number, number] | undefined {
  if (rest.length < 2) return undefined;
  const short = (rest.bytes[1] ?? 0) & 127;
  const head = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (rest.length < head) return undefined;
  const { bytes } = rest;
  const payload = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  return rest.length < head + payload ? undefined : [head, payload];
}

export interface Head {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface HttpHandlers {
  readonly head: (head: Head) => void;
  readonly body: (bytes: Buffer) => void;
  /** The body is whole; the connection may carry the next answer. */
  readonly end: () => void;
}

/** Answers of a server, one after another. */
export function httpReader(handlers: HttpHandlers): Reader {
  const rest = new Rest();
  let state: "head" | "length" | "chunk" | "upgraded" = "head";
  let left = 0;
  const step = (): boolean => {
    const { bytes } = rest;
    if (state === "upgraded") {
      if (bytes.length === 0) return false;
      rest.drop(bytes.length);
      handlers.body(bytes);
      return false;
    }
    if (state === "head") {
      const end = bytes.indexOf("\r\n\r\n");
      if (end < 0) return false;
      const head = parseHead(bytes.toString("latin1", 0, end));
      rest.drop(end + 4);
      if (head.status === 101) state = "upgraded";
      else if (head.headers.get("transfer-encoding") === "chunked") state = "chunk";
      else {
        state = "length";
        left = Number(head.headers.get("content-length") ?? 0);
      }
      handlers.head(head);
      return true;
    }
    if (state === "length") {
      if (bytes.length < left) return false;
      const body = Buffer.from(bytes.subarray(0, left));
      rest.drop(left);
      state = "head";
      if (body.length > 0) handlers.body(body);
      handlers.end();
      return true;
    }
    const line = bytes.indexOf("\r\n");
    if (line < 0) return false;
    const length = Number.parseInt(bytes.toString("latin1", 0, line), 16);
    if (bytes.length < line + 2 + length + 2) return false;
    const chunk = Buffer.from(bytes.subarray(line + 2, line + 2 + length));
    rest.drop(line + 2 + length + 2);
    if (length > 0) handlers.body(chunk);
    else {
      state = "head";
      handlers.end();
    }
    return true;
  };
  return {
    push(bytes) {
      rest.push(bytes);
      while (step());
    },
  };
}

function parseHead(text: string): Head {
  const [first = "", ...lines] = text.split("\r\n");
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]), headers };
}
