/** A port for HTTP and WebSockets, and the servers behind it: after the certificate was renewed more than one, each with a fanout of its own. */
import type { Server } from "bun";
import type { Clock, Timer } from "../base/clock.ts";
import { handOver, letGo } from "../base/handover.ts";
import { findListeners, openLibrary } from "../base/libc.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/schema.ts";
import { failureAnswer, replyErrorOf } from "../http/answers.ts";
import type { Gateway } from "../ports/gateway.ts";
import { type WebSocketConnection, WebSocketFanout, webSocketHandler } from "../transports/websocket.ts";
import { portErrorOf, wantedWebPort } from "./port-error.ts";
import type { TlsFiles } from "./tls.ts";

export type WebServer = Server<WebSocketConnection>;

export type WebAnswer = (request: Request, server: WebServer) => Response | undefined | Promise<Response | undefined>;

export interface WebPortParts {
  /** Of the start: what is settled with a port does not change while it is open. */
  readonly config: Config;
  readonly host: string;
  /** The option that names the port. */
  readonly option: "port" | "swoolePort";
  /** A listening socket to be used instead of one's own. */
  readonly inherited?: number | undefined;
  readonly gateway: Gateway;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A server, and what answers on it, which a reload replaces. */
interface Behind {
  readonly server: WebServer;
  readonly fanout: WebSocketFanout;
  readonly fd: number | undefined;
  answer: WebAnswer;
}

/** A server that was opened to take the port over, and has not yet. */
export interface NextServer {
  take(): void;
  close(): void;
}

/** How often it is looked whether the clients of an old server are gone. */
const RETIRED_LOOK_MS = 10_000;

export class WebPort {
  #current: Behind;
  readonly #retired = new Set<Behind>();
  #looking: Timer | undefined;
  #make: (fanout: WebSocketFanout) => WebAnswer;
  readonly port: number;

  /** Throws `StartupError` where the port cannot be had. `make`: what answers, with the topics of which server. */
  constructor(
    private readonly parts: WebPortParts,
    tls: TlsFiles | undefined,
    make: (fanout: WebSocketFanout) => WebAnswer,
  ) {
    const { config, host, option, inherited } = parts;
    const wanted = wantedWebPort(config, host, option);
    this.#make = make;
    if (inherited === undefined) {
      try {
        this.#current = this.#open(host, wanted.port, tls);
      } catch (error) {
        throw portErrorOf(error, wanted);
      }
      this.port = this.#current.server.port ?? wanted.port;
    } else {
      this.#current = this.#open("127.0.0.1", 0, tls);
      this.port = handOver(inherited, descriptorOf(this.#current));
    }
  }

  get fd(): number | undefined {
    return this.#current.fd;
  }

  /** From now on this answers, on connections that are open as well. */
  serve(make: (fanout: WebSocketFanout) => WebAnswer): void {
    this.#make = make;
    this.#current.answer = make(this.#current.fanout);
    for (const behind of this.#retired) behind.answer = lastly(make(behind.fanout));
  }

  /** A server with another certificate. Nothing has changed before it takes the port over. */
  next(tls: TlsFiles | undefined): NextServer {
    const next = this.#open("127.0.0.1", 0, tls);
    return {
      take: () => this.#replace(next),
      close: () => void next.server.stop(true),
    };
  }

  #replace(next: Behind): void {
    const old = this.#current;
    handOver(descriptorOf(old), descriptorOf(next));
    this.#current = next;
    // Not stopped: that would close connections between two requests, on which one may be on its way.
    old.answer = lastly(old.answer);
    this.#retired.add(old);
    this.#looking ??= this.parts.clock.every(RETIRED_LOOK_MS, () => this.#look());
  }

  #look(): void {
    for (const behind of this.#retired) {
      if (behind.server.pendingWebSockets > 0 || behind.server.pendingRequests > 0) continue;
      this.#retired.delete(behind);
      void behind.server.stop();
    }
    if (this.#retired.size > 0) return;
    this.#looking?.cancel();
    this.#looking = undefined;
  }

  /** Others accept from its socket too, and go on with it alone. Those connected are served as before, and get one more answer. */
  letGo(): void {
    letGo(descriptorOf(this.#current));
    this.#current.answer = lastly(this.#current.answer);
  }

  /** Takes no new connections. Resolves when all requests are answered and all clients are gone. */
  async stop(): Promise<void> {
    const all = [this.#current, ...this.#retired];
    for (const behind of all) behind.answer = lastly(behind.answer);
    await Promise.all(all.map(({ server }) => server.stop()));
  }

  async close(): Promise<void> {
    this.#looking?.cancel();
    await Promise.all([this.#current, ...this.#retired].map(({ server }) => server.stop(true)));
  }

  #open(hostname: string, port: number, tls: TlsFiles | undefined): Behind {
    const { config, gateway, log } = this.parts;
    const fanout = new WebSocketFanout(config.perMessageDeflate);
    const listening = listeners(port);
    const behind = { answer: this.#make(fanout) };
    const server: WebServer = Bun.serve<WebSocketConnection>({
      port,
      hostname,
      ...(tls !== undefined && { tls: tls.material }),
      // Left out, the runtime shares the port: a second server would start in silence and get every other client (measured).
      reusePort: false,
      development: false,
      // Of a body, and until the next request. Half a TLS handshake and half a head the runtime ends by itself, 10 to 12 seconds after the connection
      // began, whatever is said here and whatever drips in (measured). Backends get longer once their key is known; long connections
      // are the core's to watch.
      idleTimeout: config.requestSeconds,
      // Ours is counted while reading and answers in JSON; the runtime's is a second fence.
      maxRequestBodySize: config.bodyBytesMax * 2,
      websocket: webSocketHandler(gateway, config.messageBytesMax, config.perMessageDeflate),
      fetch: (request, own) => behind.answer(request, own),
      // A bug. By itself the runtime would print a piece of our source, past the log, and answer without JSON.
      error: (error) => failureAnswer(replyErrorOf(error, log, {})),
    });
    fanout.attach(server);
    const fd = listeners(server.port ?? port).find((one) => !listening.includes(one));
    return Object.assign(behind, { server, fanout, fd });
  }
}

function descriptorOf({ fd }: Behind): number {
  if (fd === undefined) throw new Error("the listening socket was not found");
  return fd;
}

/** The runtime does not tell the descriptor of its web server: it is the one that is new. */
function listeners(port: number): readonly number[] {
  if (process.platform !== "linux") return [];
  try {
    return findListeners(openLibrary(), port);
  } catch {
    // Without the library the port is served all the same, until its restart.
    return [];
  }
}

/** The same answers, each the last one on its connection: the next request is for a server that stays. */
function lastly(answer: WebAnswer): WebAnswer {
  return async (request, server) => {
    const response = await answer(request, server);
    response?.headers.set("connection", "close");
    return response;
  };
}
