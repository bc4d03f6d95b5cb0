/**
 * Channel and user names.
 *
 * A channel name is 1 to 200 bytes of UTF-8 in Unicode normal form C, without control characters, white space, commas or
 * lone surrogates. The part before the first `:` is its namespace; a name without `:` lives in the default namespace `""`.
 * `@<user>` is the personal channel of a user and lives in the namespace `@`.
 *
 * Why so strict: names become topics of the runtime (which aliases lone surrogates), keys of history, elements of comma
 * lists in queries and words in log lines. Two names that look alike must not differ in bytes only, hence NFC.
 */

/** Longest channel name, in bytes of UTF-8. */
export const CHANNEL_BYTES_MAX = 200;

/** Longest user name, in bytes of UTF-8: its personal channel `@<user>` must be a channel name. */
export const USER_BYTES_MAX: number = CHANNEL_BYTES_MAX - 1;

/** The namespace of personal channels. */
export const PERSONAL_NAMESPACE = "@";

// C0 and C1 controls, DEL, every Unicode white space (\s holds U+FEFF too), the comma, and lone surrogates (`u` makes \p{Cs} match only those).
const FORBIDDEN = /[\p{Cc}\p{Cs}\s,]/u;

// A name of these characters alone needs neither the NFC check nor a byte count: the common case, four times as fast.
const PLAIN = /^[A-Za-z0-9_.:@/#$!~*'()+;=?&|<>[\]{}^%-]+$/;

/** Made when first needed: devices that have none must be able to load this file. */
let encoder: TextEncoder | undefined;

function nameFault(name: unknown, what: string, bytesMax: number): string | undefined {
  if (typeof name !== "string") return `the ${what} must be a string`;
  if (name.length === 0) return `the ${what} is empty`;
  if (name.length > bytesMax) return `the ${what} is longer than ${bytesMax} bytes`;
  if (PLAIN.test(name)) return undefined;
  if (FORBIDDEN.test(name))
    return `the ${what} holds white space, a comma, a control character or half a surrogate pair`;
  if (name.normalize("NFC") !== name) return `the ${what} is not in Unicode normal form C`;
  encoder ??= new TextEncoder();
  if (encoder.encode(name).length > bytesMax) return `the ${what} is longer than ${bytesMax} bytes`;
  return undefined;
}

/** What is wrong with a channel name, as words for the person who chose it; `undefined` when it is a good name. */
export function channelFault(name: unknown): string | undefined {
  const fault = nameFault(name, "channel name", CHANNEL_BYTES_MAX);
  if (fault !== undefined) return fault;
  if ((name as string).startsWith(":")) return "the channel name begins with `:`, so its namespace is empty";
  if (name === PERSONAL_NAMESPACE) return "the channel name `@` names no user";
  return undefined;
}

/** What is wrong with a user name; `undefined` when it is a good one. Users obey the rules of channel names, one byte shorter. */
export function userFault(user: unknown): string | undefined {
  return nameFault(user, "user name", USER_BYTES_MAX);
}

/** The namespace of a good channel name: `""` (default), `"@"` (personal) or the part before the first `:`. */
export function namespaceOf(channel: string): string {
  if (channel.startsWith("@")) return PERSONAL_NAMESPACE;
  const colon = channel.indexOf(":");
  return colon < 0 ? "" : channel.slice(0, colon);
}

/** The personal channel of a user: `bob` -> `@bob`. */
export function personalChannel(user: string): string {
  return `@${user}`;
}

/** Whose personal channel this is; `undefined` when it is nobody's. */
export function personalUser(channel: string): string | undefined {
  return channel.startsWith("@") ? channel.slice(1) : undefined;
}

/**
 * Whether the channel belongs to a foreign world: `pusher.<app>:…`, `io.<namespace>:…` and `wms:…` are kept for Pusher,
 * Socket.IO and web-msg-sender clients, and closed to everybody else.
 */
export function isForeignWorld(channel: string): boolean {
  const namespace = namespaceOf(channel);
  return namespace === "wms" || namespace.startsWith("pusher.") || namespace.startsWith("io.");
}
