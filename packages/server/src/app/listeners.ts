/** The TCP ports, each with its framing (SPEC.md, group TC). */
import type { TCPSocketListener } from "bun";
import type { Disconnect } from "../base/failures.ts";
import { handOver } from "../base/handover.ts";
import type { Logger } from "../base/log.ts";
import { type Config, environmentName, flagName } from "../config/schema.ts";
import { isFramingName, type TcpListener } from "../config/tcp-listener.ts";
import type { Framing } from "../ports/framing.ts";
import type { RequestView } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";
import { BareProtocol } from "../protocols/bare.ts";
import { nativeLines } from "../protocols/native.ts";
import { loadFraming } from "../transports/framing-module.ts";
import { frameFraming, jsonFraming, textFraming } from "../transports/framings.ts";
import { listenTcp, type TcpConnection } from "../transports/tcp.ts";
import type { Composition } from "./compose.ts";
import { portErrorOf } from "./port-error.ts";
import type { TlsFiles } from "./tls.ts";

const FRAMINGS = { json: jsonFraming, text: textFraming, frame: frameFraming } as const;

/** What there is to be shown to the application of one who connects here. */
const TCP_REQUEST: RequestView = { transport: "tcp", headers: {}, query: {} };

/** A port that is to be opened, with everything that can be wrong before found out. */
export interface PlannedListener extends TcpListener {
  readonly option: string;
  readonly elsewhere: string;
  readonly framed: Framing;
  readonly protocol: Protocol;
  readonly tls: boolean;
  /** A listening socket to be used instead of one's own. */
  readonly inherited?: number | undefined;
}

export interface OpenListener {
  readonly framing: string;
  readonly channel: string | undefined;
  readonly port: number;
  readonly tls: boolean;
  readonly socket: TCPSocketListener<TcpConnection>;
  /** A server with another certificate that is to take the port over. Nothing has changed before it does. */
  next(tls: TlsFiles): NextListener;
}

export interface NextListener {
  take(): OpenListener;
  close(): void;
}

/** In one go, so that nobody is served by one port while another is still to be opened. Throws `StartupError`; then none is open. */
export function openListeners(
  planned: readonly PlannedListener[],
  config: Config,
  defaultHost: string,
  { gateway, turn }: Pick<Composition, "gateway" | "turn">,
  log: Logger,
  refusal: () => Disconnect | undefined,
  tls: TlsFiles | undefined,
): OpenListener[] {
  const open: OpenListener[] = [];
  for (const one of planned) {
    const { host = defaultHost, port, framing, channel, framed, protocol, option, elsewhere, inherited } = one;
    const listen = (hostname: string, at: number, files: TlsFiles | undefined): TCPSocketListener<TcpConnection> =>
      listenTcp({
        hostname,
        port: at,
        gateway,
        turn,
        framing: framed,
        protocol,
        handshake: { channels: channel === undefined ? [] : [channel], request: TCP_REQUEST },
        refusal,
        tls: one.tls ? files?.material : undefined,
        messageBytesMax: config.messageBytesMax,
        keepAliveMs: config.pingIntervalMs,
        log,
      });
    try {
      const socket = inherited === undefined ? listen(host, port, tls) : listen("127.0.0.1", 0, tls);
      const at = inherited === undefined ? socket.port : handOver(inherited, descriptorOf(socket));
      open.push(openListener({ framing, channel, port: at, tls: one.tls }, socket, listen));
    } catch (error) {
      for (const { socket } of open) socket.stop(true);
      throw portErrorOf(error, { host, port, option, elsewhere });
    }
  }
  return open;
}

function openListener(
  facts: Omit<OpenListener, "socket" | "next">,
  socket: TCPSocketListener<TcpConnection>,
  listen: (hostname: string, port: number, tls: TlsFiles) => TCPSocketListener<TcpConnection>,
): OpenListener {
  return {
    ...facts,
    socket,
    next(tls) {
      const next = listen("127.0.0.1", 0, tls);
      return {
        take() {
          handOver(descriptorOf(socket), descriptorOf(next));
          // Its connections go on.
          socket.stop();
          return openListener(facts, next, listen);
        },
        close: () => next.stop(true),
      };
    },
  };
}

/** The runtime's types do not know of it. */
function descriptorOf(socket: TCPSocketListener<TcpConnection> & { readonly fd?: number }): number {
  if (socket.fd === undefined) throw new Error("the runtime does not tell the listening socket");
  return socket.fd;
}

/** In the order of the configuration, that of `tcpPort` first. Rejects with `StartupError` where a framing cannot be loaded. */
export async function planListeners(config: Config, log: Logger): Promise<PlannedListener[]> {
  const planned: PlannedListener[] = [];
  const { tcpPort, tcpListeners, depthMax, tlsCert } = config;
  const tcpTls = config.tcpTls && tlsCert !== undefined;
  const native = nativeLines(depthMax);
  if (tcpPort !== "off") {
    const option = "tcpPort";
    const elsewhere = `${flagName([option])} ${tcpPort + 1} or ${environmentName([option])}; \`off\` opens none`;
    planned.push({
      port: tcpPort,
      framing: "json",
      option,
      elsewhere,
      framed: jsonFraming,
      protocol: native,
      tls: tcpTls,
    });
  }
  for (const [index, listener] of tcpListeners.entries()) {
    const { framing, channel = "" } = listener;
    const option = `tcpListeners[${index}]`;
    const framed = isFramingName(framing) ? FRAMINGS[framing] : await loadFraming(framing, `${option}.framing`, log);
    // Lines carry text only; what a framing of the operator's carries is its own matter.
    const protocol = framing === "json" ? native : new BareProtocol(channel, framing !== "text");
    const { tls = tcpTls } = listener;
    const elsewhereToo = `change ${option}.port`;
    planned.push({ ...listener, option: `${option}.port`, elsewhere: elsewhereToo, framed, protocol, tls });
  }
  return planned;
}
