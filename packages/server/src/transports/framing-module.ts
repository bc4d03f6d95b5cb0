/**
 * A framing that the operator has written: a module that exports `framing`. It is checked and fenced in here, since the rest of the house trusts its
 * framings: an `Error` thrown by `input` or `decode` ends that connection with its words, anything else that goes wrong is logged as a bug.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { StartupError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type { Frame } from "../ports/connection.ts";
import { type Framing, FramingFault } from "../ports/framing.ts";

const FUNCTIONS = ["input", "encode", "decode"] as const;
const NOTHING = new Uint8Array(0);

/** A relative path starts at the working directory. Rejects with `StartupError`. */
export async function loadFraming(path: string, option: string, log: Logger): Promise<Framing> {
  const file = resolve(path);
  let module: { readonly framing?: unknown };
  try {
    module = (await import(pathToFileURL(file).href)) as typeof module;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartupError(`${option}: the framing ${file} cannot be loaded: ${reason}`, ADVICE);
  }
  const missing = FUNCTIONS.filter(
    (name) => typeof (module.framing as Partial<Framing> | undefined)?.[name] !== "function",
  );
  if (missing.length > 0) {
    throw new StartupError(`${option}: ${file} exports no \`framing\` with ${missing.join(", ")}`, ADVICE);
  }
  return fenced(module.framing as Framing, file, log);
}

const ADVICE =
  "name a module that exports `framing` with the functions input, encode and decode, see examples/tcp-framing";

function fenced(framing: Framing, file: string, log: Logger): Framing {
  return {
    input: (bytes, from) => blamed(() => framing.input(bytes, from)),
    decode(packet) {
      const message: unknown = blamed(() => framing.decode(packet));
      if (message === null || isFrame(message)) return message;
      throw new TypeError(`decode in ${file} returned ${typeof message}`);
    },
    encode(message) {
      try {
        const packet: unknown = framing.encode(message);
        if (isFrame(packet)) return typeof packet === "string" ? Buffer.from(packet) : packet;
        throw new TypeError(`encode in ${file} returned ${typeof packet}`);
      } catch (error) {
        // Ending the connections would not help: whoever comes back is sent the same message again.
        log.error("framing left out a message", { file, error });
        return NOTHING;
      }
    },
    ...(framing.idle !== undefined && { idle: framing.idle }),
  };
}

/** The client is to blame for a plain `Error`; a `TypeError` and its like come of a mistake in the module. */
function blamed<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof Error && error.constructor === Error) throw new FramingFault(error.message, { cause: error });
    throw error;
  }
}

function isFrame(value: unknown): value is Frame {
  return typeof value === "string" || value instanceof Uint8Array;
}
