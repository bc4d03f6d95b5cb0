/**
 * The one table of every option. The `Config` type, the loader, the names of environment variables and flags, the sample
 * file, the JSON Schema and docs/configuration.md all come from here; to add an option is to add its row.
 */
import { apiKey } from "./api-key.ts";
import { flag, integer, integerOr, integerOrOff, list, secret, text, word } from "./kinds.ts";
import { atStart, option, type Option, optional, type Table, type Values } from "./option.ts";
import { REDIS_OPTIONS } from "./redis-options.ts";
import { headerName, httpUrl } from "./http-kinds.ts";
import { addressRange } from "./address-range.ts";
import { originEntry } from "./origin-pattern.ts";
import { tcpListener } from "./tcp-listener.ts";
import { cookieName } from "./cookie-name.ts";
import { tokenKey } from "./token-key.ts";

const COUNT_MAX = 1_000_000_000;
const BYTES_MAX = 1024 ** 4;
const DAY_SECONDS = 86_400;
const YEAR_SECONDS = 366 * DAY_SECONDS;
/** The longest time a timer of the runtime can wait. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Who may do something on a channel. */
const access = word("everybody", "signed-in", "token", "owner", "hook", "nobody");
const READERS = "everybody as long as the server serves this machine only and has no token secret, else signed-in";

/** Options of a channel: under `channels` for every channel, under `namespaces.<name>` for those of one namespace. */
export const CHANNEL_OPTIONS = {
  historySize: option(
    integer(0, COUNT_MAX),
    100,
    "How many publications of a channel are kept for clients that come back. 0 keeps none.",
  ),
  historySeconds: option(integer(1, 10 * YEAR_SECONDS), 300, "How long a publication is kept at most."),
  start: option(
    word("latest", "earliest", "inbox"),
    "latest",
    "Where a subscription starts that brings no position: with what comes next, with the oldest publication kept, or after the last one its user acknowledged.",
  ),
  inbox: option(
    flag,
    false,
    "Keep the acknowledged position of every user, so that a message to somebody offline is delivered at the next connect, on any device.",
  ),
  subscribe: optional(
    access,
    READERS,
    "Who may subscribe: everybody, signed-in (any user with a good token), token (only where the token's `allow` names the channel), owner (the user named by an `@user` channel), hook (whom your backend lets in, see docs/hooks.md) or nobody.",
  ),
  publish: optional(access, "token", "Which clients may publish. The HTTP API is not bound by it."),
  presence: optional(
    access,
    `hook where \`subscribe\` is hook; ${READERS}`,
    "Who may ask who is subscribed. hook: subscribers, and whoever would be let in as one.",
  ),
  history: optional(
    access,
    `hook where \`subscribe\` is hook; ${READERS}`,
    "Who may read the history by command. hook: as with `presence`.",
  ),
  bareEcho: option(
    flag,
    true,
    "Whether a bare message (raw WebSocket, TCP text and frame) also goes back to the client that sent it.",
  ),
  escapeHtml: option(
    flag,
    false,
    "Escape strings in the `data` of what clients publish for HTML, as PHP's htmlspecialchars does with ENT_QUOTES. For pages that put text into their HTML as it comes; what the HTTP API publishes stays as it is.",
  ),
  leaveDelayMs: option(
    integer(0, TIMER_MS_MAX),
    3000,
    "How long a member that lost its connection stays present, so that turning a page is no leave and join.",
  ),
} satisfies Table;

/** Every other option. */
export const SERVER_OPTIONS = {
  port: atStart(option(integer(0, 65_535), 8080, "Port of HTTP and WebSocket. 0 takes any free one.")),
  host: atStart(
    optional(
      text,
      "127.0.0.1, or 0.0.0.0 when both an API key and a token secret are configured",
      "Address to listen on.",
    ),
  ),
  tcpPort: atStart(
    option(
      integerOrOff(0, 65_535),
      8081,
      "Port of raw TCP, with the native protocol in lines of JSON. 0 takes any free one, off opens none.",
    ),
  ),
  tcpListeners: atStart(
    option(
      list(tcpListener, { allowed: "a list of listeners, each {port, framing, channel?, host?, tls?}" }),
      [],
      "More TCP ports, each with a framing: json, text (a line is a message), frame (a length of four bytes, big-endian, that counts itself, and a body) or the path of a module of yours, from the working directory. All but json have a channel: their clients are subscribed to it, and what they send is published there.",
    ),
  ),
  presets: atStart(
    option(
      list(word("ratchet", "swoole"), { allowed: "a list of ratchet and swoole", plainWords: true }),
      [],
      "Plain WebSocket chats as tutorials have them, see docs/presets.md: ratchet at `/` of `port` (channel ratchet:chat, to all but the sender), swoole at `/` of `swoolePort` (channel swoole:chat, to all). Each opens its namespace to everybody.",
    ),
  ),
  swoolePort: atStart(option(integer(0, 65_535), 9501, "Port of the preset swoole. 0 takes any free one.")),
  tlsCert: optional(
    text,
    "the ports speak no TLS",
    "File with the certificate in PEM text, followed by those between it and its authority. With `tlsKey` every port speaks TLS (1.2 and 1.3) and nothing else. A relative path starts at the working directory. Both files are read again at a reload, see docs/operations.md.",
  ),
  tlsKey: optional(text, "the ports speak no TLS", "File with the private key of `tlsCert`, in PEM text."),
  tlsKeyPassphrase: optional(secret(1), "the key is not encrypted", "What the private key is encrypted with."),
  tcpTls: atStart(
    option(
      flag,
      true,
      "Whether the ports of raw TCP speak TLS too, where there is a certificate; an entry of `tcpListeners` may say otherwise by its `tls`.",
    ),
  ),
  dataDir: atStart(
    option(text, "./data", "Folder for everything that is kept. A relative path starts at the working directory."),
  ),
  engine: atStart(
    option(
      word("memory", "sqlite", "redis"),
      "sqlite",
      "Where publications are kept: memory forgets them at a restart, sqlite keeps them in `dataDir`, redis in Redis or Valkey, for several nodes.",
    ),
  ),
  workers: atStart(
    option(
      integerOr("auto", 1, 512),
      1,
      "How many processes serve the ports (Linux). auto: one for each core. See docs/scaling.md.",
    ),
  ),
  ...REDIS_OPTIONS,
  sync: atStart(
    option(
      word("normal", "full"),
      "normal",
      "What an acknowledged publication survives with sqlite: normal a killed process, full also a power loss, at the price of one disk flush per commit.",
    ),
  ),
  apiKey: optional(
    secret(8),
    "without `tokenSecret` too, the server makes a key and serves this machine only",
    "The key of your backend for the HTTP API, with every right.",
  ),
  apiKeys: option(
    list(apiKey, { allowed: "a list of keys, each {name, key, scopes, namespaces?}" }),
    [],
    "More keys, each with a name for the log, scopes (publish, read, manage) and, if it is bound to them, its namespaces.",
  ),
  tokenSecret: optional(
    secret(16),
    "no token is accepted, unless `tokenKeys` or `jwksUrl` say how to check it",
    "Secret that signs the tokens (JWT, HS256) of your users. Take 32 random bytes or more.",
  ),
  tokenKeys: option(
    list(tokenKey, {
      allowed: "a list of keys, each {kid?, algorithm, secret} or {kid?, algorithm, publicKey or publicKeyFile}",
    }),
    [],
    "More keys that tokens may be signed with, each for one algorithm: HS256, HS384 or HS512 with a secret as long as the hash, or RS, PS (256, 384, 512), ES (256, 384) or EdDSA with a public key in PEM. A token's `kid` picks among them; keys without one are tried for any. See docs/tokens.md.",
  ),
  jwksUrl: optional(
    httpUrl,
    "no keys are fetched",
    "Address of a key set (JWKS, RFC 7517), as identity providers publish it. Known keys go on while it cannot be reached.",
  ),
  jwksCacheSeconds: option(
    integer(1, DAY_SECONDS),
    600,
    "How old fetched keys may become before they are fetched again. An unknown `kid` fetches them sooner, every 10 seconds at most.",
  ),
  tokenAudience: optional(text, "`aud` is not looked at", "The audience (`aud`) that tokens must be for."),
  tokenIssuer: optional(text, "`iss` is not looked at", "The issuer (`iss`) that tokens must be of."),
  tokenCookie: optional(
    cookieName,
    "no cookie is read",
    "Name of the cookie that may hold the token. It counts for pages of the server's own origin and of listed `origins` alone.",
  ),
  tokenGraceSeconds: option(
    integer(0, 3600),
    5,
    "How long after its token's end a session that is connected may still bring a new one. Nobody connects with a token that is over.",
  ),
  anonymous: optional(
    flag,
    "they may, and where nothing is open to everybody, those that are nobody and follow no channel by then are sent away after `connectTimeoutMs`",
    "Whether clients may connect without a token. false: each must bring one, and be somebody to your backend or to a key, within `connectTimeoutMs`.",
  ),
  connectTimeoutMs: option(
    integer(100, TIMER_MS_MAX),
    30_000,
    "How long a client may take to say who it is, where it has to (see `anonymous`), and a raw TCP connection to say its first word.",
  ),
  hookUrl: optional(
    httpUrl,
    "nobody is asked",
    "Address of your backend that answers questions about clients: who connects (`hookConnect`), and where a channel's rule is hook, who may subscribe and what may be published. See docs/hooks.md.",
  ),
  hookSecret: optional(
    secret(16),
    "the questions carry none",
    "What your backend knows the questions by: sent with each as `Authorization: Bearer`.",
  ),
  hookConnect: option(
    word("never", "without-token", "always"),
    "without-token",
    "Which clients your backend is asked about when they connect, once there is a `hookUrl`: none, those that bring no token (by their cookie, for instance), or all; then it is also the backend that checks tokens, of any kind.",
  ),
  hookHeaders: option(
    list(headerName, { allowed: "a list of names of headers in lower case", plainWords: true }),
    ["cookie", "authorization", "user-agent", "accept-language", "origin"],
    "Headers of a client's request that your backend is shown when it connects.",
  ),
  hookTimeoutMs: option(
    integer(100, 600_000),
    3000,
    "How long a question may take, waiting for its turn included. Without an answer by then the client is told that the service is not available at the moment.",
  ),
  hookConcurrencyMax: option(
    integer(1, 200),
    32,
    "How many questions are with the backend at a time. Not more than it has workers: the others only wait there instead of here.",
  ),
  hookQueueMax: option(
    integer(0, 1_000_000),
    2000,
    "How many more questions may wait for their turn. Beyond that clients are told at once to come back later.",
  ),
  origins: option(
    list(originEntry, { allowed: "a list of origins", plainWords: true }),
    [],
    "Origins whose pages may connect, such as `https://example.com`; `https://*.example.com` stands for its sub-domains at any depth and not for itself, `null` for pages without an origin (files, sandboxed frames), `*` for all. Empty: the same origin, and on loopback any loopback origin.",
  ),
  trustedProxies: option(
    list(addressRange, { allowed: "a list of addresses and ranges", plainWords: true }),
    [],
    "Proxies in front of the server: addresses, ranges such as 10.0.0.0/8, or the word loopback. What they say about a client's address is believed, and nobody else's word.",
  ),
  forwardedHeader: option(
    word("x-forwarded-for", "forwarded"),
    "x-forwarded-for",
    "The header in which trusted proxies tell the client's address. One only: the other may come from the client, through a proxy that does not know it.",
  ),
  demo: optional(flag, "on as long as no secret is configured", "Serve the demo chat at /demo."),
  logLevel: option(
    word("debug", "info", "warn", "error", "silent"),
    "info",
    "The least important events that are logged.",
  ),
  logFormat: atStart(
    option(
      word("json", "pretty", "auto"),
      "auto",
      "json: one object per line; pretty: words for a person; auto: pretty on a terminal.",
    ),
  ),
  pingIntervalMs: atStart(
    option(
      integer(1000, TIMER_MS_MAX),
      25_000,
      "How often a silent client is pinged. Keep it below the idle limit of proxies on the way (nginx: 60 s).",
    ),
  ),
  pingTimeoutMs: atStart(
    option(integer(100, TIMER_MS_MAX), 10_000, "How long after a ping a client that stays silent is given up."),
  ),
  streamMaxAgeSeconds: optional(
    integer(1, 30 * DAY_SECONDS),
    "none where the kernel finds dead peers (Linux), else one hour",
    "How long a one-way stream (SSE, HTTP stream) lasts before its client is asked to open it again.",
  ),
  retryMs: option(integer(1, TIMER_MS_MAX), 2000, "How long a browser's EventSource waits before it connects again."),
  pollWaitSecondsMax: option(integer(0, 3600), 60, "The longest a long poll may wait for something to come."),
  compression: option(
    flag,
    true,
    "Compress for clients that ask for it: gzip on streams and poll answers, deflate on WebSockets that say so in their query.",
  ),
  perMessageDeflate: atStart(
    option(
      flag,
      false,
      "Negotiate permessage-deflate (RFC 7692) on WebSockets: for what clients send, and for frames of 1 KB and more that go to one of them alone. What many get at once is never compressed in this way: it would be compressed for each.",
    ),
  ),
  queueBytesMax: option(
    integer(16 * 1024, BYTES_MAX),
    1024 ** 2,
    "What may wait for one client. A client that reads slower than this is disconnected as slow and may come back for what it missed.",
  ),
  queueBytesTotalMax: option(
    integer(1024 ** 2, BYTES_MAX),
    256 * 1024 ** 2,
    "What may wait for all clients together; above it the slowest clients are disconnected, longest queue first.",
  ),
  connectionsMax: optional(
    integer(1, COUNT_MAX),
    "computed from the limit of open descriptors, less a reserve, and printed at start",
    "How many clients may be connected. Further ones are answered 503 with `Retry-After`, or told `overloaded`.",
  ),
  handshakesPerSecond: option(
    integerOrOff(1, COUNT_MAX),
    20_000,
    "How many clients may connect per second. As many again wait in a queue of at most one second; the others are answered 503 with `Retry-After`.",
  ),
  loopLagMsMax: option(
    integerOrOff(10, 60_000),
    500,
    "How late the event loop may be, on average, before new clients are answered 503 with `Retry-After`; those connected go on.",
  ),
  memoryBytesMax: optional(
    integer(1024 ** 2, BYTES_MAX),
    "80 % of the memory that the machine, or the control group, has",
    "How much memory the process may have resident before new clients are answered 503 with `Retry-After`; those connected go on.",
  ),
  requestSeconds: atStart(
    option(
      integer(1, 255),
      20,
      "How long a client may take for the body of a request, and be silent before the next one; then its connection is closed. Counted in steps of 4 seconds. For the TLS handshake and the head of a request everybody has 10 to 12 seconds.",
    ),
  ),
  commandsPerSecond: option(
    integerOrOff(1, COUNT_MAX),
    1000,
    "How many commands one session may send per second; see `burstSeconds`. Further ones are answered `rateLimited` (202) with `retry`, and one that goes on and on is sent away as `flooding`.",
  ),
  bytesPerSecond: option(
    integerOrOff(1024, BYTES_MAX),
    1024 ** 2,
    "How many bytes of commands one session may send per second (of text, characters are counted); likewise.",
  ),
  publishesPerSecond: option(
    integerOrOff(1, COUNT_MAX),
    500,
    "How many publications one session may send per second; likewise. The HTTP API is not limited.",
  ),
  burstSeconds: option(
    integer(1, 3600),
    5,
    "For how many seconds a rate may be used in advance: with 5, a session that was quiet may send 5 times `commandsPerSecond` at once.",
  ),
  connectionsPerAddressMax: option(
    integerOrOff(1, COUNT_MAX),
    "off",
    "How many connections may come from one address (of IPv6: one network of 64 bits). Loopback and trusted proxies are exempt. Many people may share one address.",
  ),
  connectionsPerUserMax: option(integerOrOff(1, COUNT_MAX), "off", "How many sessions one user may have."),
  publishesPerSecondPerAddress: option(
    integerOrOff(1, COUNT_MAX),
    "off",
    "How many publications may come from one address per second. Loopback and trusted proxies are exempt.",
  ),
  publishesPerSecondPerUser: option(
    integerOrOff(1, COUNT_MAX),
    "off",
    "How many publications one user may send per second, through all sessions.",
  ),
  messageBytesMax: atStart(option(integer(256, 1024 ** 3), 64 * 1024, "The largest frame a client may send.")),
  publicationBytesMax: option(
    integer(256, 1024 ** 3),
    1024 ** 2,
    "The largest `data` of one publication by the HTTP API.",
  ),
  bodyBytesMax: atStart(option(integer(1024, 1024 ** 3), 8 * 1024 ** 2, "The largest body of one HTTP request.")),
  depthMax: atStart(option(integer(1, 1000), 64, "How deep arrays and objects may be nested in `data`.")),
  subscriptionsMax: option(integer(1, COUNT_MAX), 200, "How many channels one session may subscribe to."),
  recoveryMax: option(
    integer(0, COUNT_MAX),
    10_000,
    "How many missed publications of one channel are replayed; a client that missed more is told `recovered: false`.",
  ),
  historyPageMax: option(integer(1, 1_000_000), 1000, "How many publications one history answer may hold."),
  presenceListMax: option(integer(1, 1_000_000), 1000, "How many members one presence answer may list."),
  resumeSeconds: option(
    integer(0, 30 * DAY_SECONDS),
    120,
    "How long after a lost connection its session can be resumed.",
  ),
  idempotencySeconds: atStart(
    option(
      integer(1, 30 * DAY_SECONDS),
      300,
      "How long an idempotency key is remembered: the same publish repeated within it is stored once.",
    ),
  ),
  positionTtlSeconds: atStart(
    option(
      integer(60, 10 * YEAR_SECONDS),
      30 * DAY_SECONDS,
      "How long the numbering of an unused channel is remembered.",
    ),
  ),
  leaveSeconds: option(
    integer(0, 3600),
    0,
    "How long a stopping server first goes on as usual, with `/readyz` at 503 already, so that a load balancer sends nobody any more before the ports are closed.",
  ),
  drainSeconds: option(
    integer(0, DAY_SECONDS),
    10,
    "How long a stopping server lets clients take what is queued for them.",
  ),
} satisfies Table;

export type ChannelOptions = Values<typeof CHANNEL_OPTIONS>;
export type NamespaceOptions = Partial<ChannelOptions>;
export type ServerOptions = Values<typeof SERVER_OPTIONS>;

export type Access = NonNullable<ChannelOptions["subscribe"]>;
export type Start = ChannelOptions["start"];

/** Everything that can be configured. Plain, frozen data. */
export interface Config extends ServerOptions {
  /** Options of every channel. */
  readonly channels: ChannelOptions;
  /** Namespace -> what differs there from `channels`. Has no prototype: a namespace may be called `constructor`. */
  readonly namespaces: Readonly<Record<string, NamespaceOptions>>;
}

/** Built-in namespaces; what is configured for them is laid over these. */
export const NAMESPACE_DEFAULTS: Readonly<Record<string, NamespaceOptions>> = {
  "@": {
    historySize: 1000,
    historySeconds: 7 * DAY_SECONDS,
    start: "inbox",
    inbox: true,
    subscribe: "owner",
    publish: "token",
    presence: "owner",
    history: "owner",
  },
};

/** Whether the backend is asked about clients that connect. */
export function asksWhoConnects({ hookUrl, hookConnect }: Pick<Config, "hookUrl" | "hookConnect">): boolean {
  return hookUrl !== undefined && hookConnect !== "never";
}

/** Whether tokens can be checked. */
export function checksTokens(config: Pick<Config, "tokenSecret" | "tokenKeys" | "jwksUrl">): boolean {
  return config.tokenSecret !== undefined || config.tokenKeys.length > 0 || config.jwksUrl !== undefined;
}

/** The options of a channel in this namespace (`""`: the default one). */
export function channelOptionsOf(config: Pick<Config, "channels" | "namespaces">, namespace: string): ChannelOptions {
  return { ...config.channels, ...config.namespaces[namespace] };
}

/** The row for a key path (`["port"]`, `["channels", "start"]`, `["namespaces", "chat", "start"]`), if there is one. */
export function optionAt(path: readonly string[]): Option<unknown> | undefined {
  const [first = "", second = "", third = ""] = path;
  if (path.length === 1) return row(SERVER_OPTIONS, first);
  if (path.length === 2 && first === "channels") return row(CHANNEL_OPTIONS, second);
  if (path.length === 3 && first === "namespaces") return row(CHANNEL_OPTIONS, third);
  return undefined;
}

function row(table: Readonly<Record<string, unknown>>, key: string): Option<unknown> | undefined {
  return Object.hasOwn(table, key) ? (table[key] as Option<unknown>) : undefined;
}

/** Every key path with a name of its own: all but those below a namespace. */
export function namedPaths(): readonly (readonly string[])[] {
  return [
    ...Object.keys(SERVER_OPTIONS).map((key) => [key]),
    ...Object.keys(CHANNEL_OPTIONS).map((key) => ["channels", key]),
  ];
}

/** `["channels", "historySize"]` -> `LONGWIRE_CHANNELS_HISTORY_SIZE`. */
export function environmentName(path: readonly string[]): string {
  return `LONGWIRE_${words(path).join("_").toUpperCase()}`;
}

/** `["channels", "historySize"]` -> `--channels-history-size`. */
export function flagName(path: readonly string[]): string {
  return `--${words(path).join("-")}`;
}

function words(path: readonly string[]): string[] {
  return path.flatMap((key) => key.replace(/[A-Z]/g, (letter) => ` ${letter}`).split(" ")).map((w) => w.toLowerCase());
}
