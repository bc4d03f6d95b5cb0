/**
 * Reads commands. Pure: text in, a `Command` out or a `CommandFault` thrown, whose `id` is the command's where it could be
 * read, so that the refusal reaches the right caller. Unknown fields are ignored: a newer client may send more.
 */
import { base64Fault } from "./binary.ts";
import { channelFault, userFault } from "./channel.ts";
import { ERRORS, type ErrorName } from "./codes.ts";
import type { Command, CommandType } from "./messages.ts";
import type { Json, Position, Since } from "./publication.ts";

/** Longest `name`, `key`, `method`, `session`, in UTF-16 units. */
export const LABEL_LENGTH_MAX = 200;

/** Why a text is no command. */
export class CommandFault extends Error {
  constructor(
    readonly error: ErrorName,
    readonly detail: string,
    readonly id: number | undefined,
  ) {
    super(`${ERRORS[error].text}: ${detail}`);
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** Deepest nesting of arrays and objects in a value; a scalar is 0. Not recursive: outside input must not spend our stack. */
export function depthOf(value: unknown, stopAt: number): number {
  let level: unknown[] = [value];
  let depth = 0;
  for (;;) {
    const next: unknown[] = [];
    let holds = false;
    for (const item of level) {
      if (typeof item !== "object" || item === null) continue;
      holds = true;
      for (const child of Array.isArray(item) ? item : Object.values(item)) {
        if (typeof child === "object" && child !== null) next.push(child);
      }
    }
    if (!holds) return depth;
    depth++;
    if (depth > stopAt || next.length === 0) return depth;
    level = next;
  }
}

/** Reads one command. `depthMax` bounds the nesting of the whole frame's `data` and `presence`. */
export function decodeCommand(text: string, depthMax: number): Command {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new CommandFault("malformed", "it cannot be parsed as JSON", undefined);
  }
  return readCommand(parsed, depthMax);
}

/** Reads one command from a value that was JSON. */
export function readCommand(parsed: unknown, depthMax: number): Command {
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new CommandFault("malformed", "it is JSON, but no object", undefined);
  }
  const fields = parsed as Fields;
  const rawId = fields["id"];
  if (rawId !== undefined && !(Number.isSafeInteger(rawId) && (rawId as number) > 0)) {
    throw new CommandFault("badField", "`id` must be a positive integer", undefined);
  }
  const id = rawId as number | undefined;
  const type = fields["type"];
  if (typeof type !== "string") throw new CommandFault("malformed", "`type` is missing", id);
  if (!Object.hasOwn(READERS, type)) {
    throw new CommandFault("unknownType", JSON.stringify(type.slice(0, 40)), id);
  }
  return new Reader(fields, id, depthMax).read(type as CommandType);
}

const READERS: Readonly<Record<CommandType, (reader: Reader) => Record<string, unknown>>> = {
  connect: (r) => ({
    token: r.text("token", Infinity),
    client: r.user("client"),
    session: r.text("session"),
    ping: r.flag("ping"),
    since: r.positions("since"),
  }),
  subscribe: (r) => ({
    channel: r.channel(),
    since: r.since(true),
    token: r.text("token", Infinity),
    presence: r.json("presence"),
    events: r.flag("events"),
    echo: r.flag("echo"),
  }),
  unsubscribe: (r) => ({ channel: r.channel() }),
  publish: (r) => ({
    channel: r.channel(),
    data: r.data(),
    encoding: r.encoding(),
    name: r.text("name"),
    key: r.text("key"),
  }),
  ack: (r) => ({
    channel: r.channel(),
    offset: r.required("offset", r.count("offset", 0)),
    epoch: r.text("epoch"),
  }),
  presence: (r) => ({ channel: r.channel() }),
  history: (r) => ({
    channel: r.channel(),
    since: r.since(false),
    limit: r.count("limit", 1),
    reverse: r.flag("reverse"),
  }),
  call: (r) => ({
    method: r.required("method", r.text("method")),
    data: r.json("data"),
  }),
  refresh: (r) => ({ token: r.required("token", r.text("token", Infinity)) }),
  ping: () => ({}),
  pong: () => ({}),
};

/** JSON knows `-0`; stores and comparisons need not. */
function withoutSign(value: number): number {
  return value === 0 ? 0 : value;
}

/** Takes typed fields out of one frame; every refusal names the field. */
class Reader {
  constructor(
    private readonly fields: Fields,
    private readonly id: number | undefined,
    private readonly depthMax: number,
  ) {}

  read(type: CommandType): Command {
    const command: Record<string, unknown> = { type };
    if (this.id !== undefined) command["id"] = this.id;
    const body = READERS[type](this);
    for (const key in body) if (body[key] !== undefined) command[key] = body[key];
    return command as unknown as Command;
  }

  required<T>(key: string, value: T | undefined): T {
    if (value === undefined) throw this.fault(`\`${key}\` is missing`);
    return value;
  }

  channel(): string {
    const channel = this.fields["channel"];
    if (channel === undefined) throw this.fault("`channel` is missing");
    const fault = channelFault(channel);
    if (fault !== undefined) throw new CommandFault("badChannel", fault, this.id);
    return channel as string;
  }

  user(key: string): string | undefined {
    const value = this.fields[key];
    if (value === undefined) return undefined;
    const fault = userFault(value);
    if (fault !== undefined) throw this.fault(`\`${key}\`: ${fault.replace("user name", "name")}`);
    return value as string;
  }

  text(key: string, lengthMax: number = LABEL_LENGTH_MAX): string | undefined {
    const value = this.fields[key];
    if (value === undefined) return undefined;
    if (typeof value !== "string" || value.length === 0)
      throw this.fault(`\`${key}\` must be a string that is not empty`);
    if (value.length > lengthMax) throw this.fault(`\`${key}\` is longer than ${lengthMax} characters`);
    return value;
  }

  flag(key: string): boolean | undefined {
    const value = this.fields[key];
    if (value !== undefined && typeof value !== "boolean") throw this.fault(`\`${key}\` must be true or false`);
    return value;
  }

  count(key: string, least: number): number | undefined {
    const value = this.fields[key];
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || (value as number) < least) {
      throw this.fault(`\`${key}\` must be an integer from ${least} up`);
    }
    return withoutSign(value as number);
  }

  json(key: string): Json | undefined {
    const value = this.fields[key];
    if (depthOf(value, this.depthMax) > this.depthMax) {
      throw new CommandFault("tooDeep", `\`${key}\` is nested deeper than ${this.depthMax} levels (depthMax)`, this.id);
    }
    return value as Json | undefined;
  }

  data(): Json {
    return this.required("data", this.json("data"));
  }

  encoding(): "base64" | undefined {
    const { encoding, data } = this.fields;
    if (encoding === undefined) return undefined;
    if (encoding !== "base64") throw this.fault("`encoding` knows the one word base64");
    const fault = base64Fault(data);
    if (fault !== undefined) throw this.fault(fault);
    return encoding;
  }

  since(inbox: boolean): Since | undefined {
    const value = this.fields["since"];
    if (value === undefined || value === "earliest" || value === "latest") return value;
    if (inbox && value === "inbox") return value;
    return this.position(value, "since", `, earliest${inbox ? ", latest or inbox" : " or latest"}`);
  }

  positions(key: string): Record<string, Position> | undefined {
    const value = this.fields[key];
    if (value === undefined) return undefined;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw this.fault(`\`${key}\` must be an object of channel names and positions`);
    }
    // Without a prototype: `__proto__` is a lawful channel name.
    const positions = Object.create(null) as Record<string, Position>;
    for (const [channel, position] of Object.entries(value)) {
      const fault = channelFault(channel);
      if (fault !== undefined) throw new CommandFault("badChannel", fault, this.id);
      positions[channel] = this.position(position, `${key}[${JSON.stringify(channel)}]`);
    }
    return positions;
  }

  private position(value: unknown, key: string, words = ""): Position {
    const { epoch, offset } = (value ?? {}) as {
      epoch?: unknown;
      offset?: unknown;
    };
    const good = typeof epoch === "string" && epoch.length > 0 && epoch.length <= LABEL_LENGTH_MAX;
    if (!good || !Number.isSafeInteger(offset) || (offset as number) < 0) {
      throw this.fault(`\`${key}\` must be {epoch, offset}${words}`);
    }
    return { epoch, offset: withoutSign(offset as number) };
  }

  private fault(detail: string): CommandFault {
    return new CommandFault("badField", detail, this.id);
  }
}
