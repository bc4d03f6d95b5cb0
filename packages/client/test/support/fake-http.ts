/**
 * The one-way endpoints of a server to script, without a socket; what it says to commands is `FakeServer.answers`.
 *
 *   const http = new FakeHttp(server);
 *   const client = new Client("ws://test/ws", { transports: ["stream"], ...http.means, clock });
 *   client.connect();
 *   await settle();
 *   http.last.commands                       // of the newest request that the server speaks on, read from its lines
 *   http.last.send({ type: "message", … })   // a frame to the client; a poll is answered with what one turn sent
 *   http.last.end()                          // the answer ends
 *   http.last.aborted                        // whether the client gave it up
 *   http.of("send")                          // all requests to one endpoint
 *   http.accept = ({ endpoint }) => "open" | "refuse" | "ignore" | "page" | { status, code }
 */
import type { Command, ServerFrame } from "@longwire/protocol";
import type { ClientOptions } from "../../src/options.ts";
import type { BodyLike, EventSourceConstructor, FetchLike, ResponseLike } from "../../src/platform.ts";
import type { FakeServer } from "./fake-server.ts";

type Endpoint = "stream" | "sse" | "poll" | "send";
type Verdict =
  "open" | "refuse" | "ignore" | "page" | { readonly status: number; readonly code: number; readonly after?: number };

/** A body that is read while it is written. */
class FakeBody implements BodyLike {
  readonly #chunks: string[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  write(text: string): void {
    this.#chunks.push(text);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  getReader(): { read(): Promise<{ done: boolean; value?: Uint8Array }> } {
    return {
      read: async () => {
        while (this.#chunks.length === 0 && !this.#ended) {
          await new Promise<void>((resolve) => (this.#wake = resolve));
        }
        const chunk = this.#chunks.shift();
        return chunk === undefined ? { done: true } : { done: false, value: new TextEncoder().encode(chunk) };
      },
    };
  }
}

export class FakeRequest {
  aborted = false;
  answered = false;
  readonly body: FakeBody = new FakeBody();
  readonly commands: readonly Command[];
  /** Told of each frame; by default it is a line of the body. */
  deliver: (frame: ServerFrame | string) => void = (frame) =>
    this.body.write(`${typeof frame === "string" ? frame : JSON.stringify(frame)}\n`);
  /** Told of the end. */
  finish: () => void = () => this.body.end();

  constructor(
    readonly endpoint: Endpoint,
    readonly query: URLSearchParams,
    lines: string,
  ) {
    this.commands = lines === "" ? [] : lines.split("\n").map((line) => JSON.parse(line) as Command);
  }

  sent<Type extends Command["type"]>(type: Type): Extract<Command, { readonly type: Type }>[] {
    return this.commands.filter((command) => command.type === type) as Extract<Command, { readonly type: Type }>[];
  }

  send(frame: ServerFrame | string): void {
    if (!this.aborted) this.deliver(frame);
  }

  end(): void {
    if (!this.aborted) this.finish();
    this.answered = true;
  }
}

export class FakeHttp {
  readonly requests: FakeRequest[] = [];
  accept: (request: FakeRequest) => Verdict = () => "open";
  /** The options of a client that reaches this. */
  readonly means: Pick<ClientOptions, "fetch" | "EventSource" | "AbortController">;
  readonly #server: FakeServer;

  constructor(server: FakeServer) {
    this.#server = server;
    const openEvents = (url: string): InstanceType<EventSourceConstructor> => this.#events(url);
    this.means = {
      fetch: (url, init) => this.#fetch(url, init),
      EventSource: function Source(url: string) {
        return openEvents(url);
      } as unknown as EventSourceConstructor,
      AbortController,
    };
  }

  of(endpoint: Endpoint): FakeRequest[] {
    return this.requests.filter((request) => request.endpoint === endpoint);
  }

  /** The newest request that the server speaks on. */
  get last(): FakeRequest {
    const last = this.requests.findLast(({ endpoint }) => endpoint !== "send");
    if (last === undefined) throw new Error("the client made no request");
    return last;
  }

  /** Requests that are neither answered to the end nor given up. */
  get open(): FakeRequest[] {
    return this.requests.filter(({ aborted, answered }) => !aborted && !answered);
  }

  #fetch(url: string, init: Parameters<FetchLike>[1]): Promise<ResponseLike> {
    const request = this.#request(url, init.body);
    return new Promise((resolve, reject) => {
      (init.signal as AbortSignal).addEventListener("abort", () => {
        request.aborted = true;
        reject(new DOMException("aborted", "AbortError"));
      });
      const verdict = this.accept(request);
      if (verdict === "ignore") return;
      request.answered = verdict !== "open";
      if (verdict === "refuse") reject(new TypeError("fetch failed"));
      else if (verdict === "page") resolve(answer(200, "<html>\nlog in first\n"));
      else if (verdict !== "open")
        resolve(answer(verdict.status, JSON.stringify({ error: { ...verdict, message: "no" } })));
      else if (request.endpoint === "stream") {
        resolve({ ok: true, status: 200, body: request.body, text: () => Promise.reject(new Error("it is a stream")) });
        this.#greet(request);
      } else if (request.endpoint === "poll") this.#poll(request, resolve);
      else this.#reply(request, resolve);
    });
  }

  #request(url: string, lines?: string): FakeRequest {
    const { pathname, searchParams } = new URL(url);
    const endpoint = pathname.slice(1) as Endpoint;
    const request = new FakeRequest(endpoint, searchParams, lines ?? searchParams.get("commands") ?? "");
    this.requests.push(request);
    return request;
  }

  #poll(request: FakeRequest, resolve: (response: ResponseLike) => void): void {
    const frames: (ServerFrame | string)[] = [];
    request.finish = () => resolve(answer(200, JSON.stringify({ cursor: "", frames })));
    request.deliver = (frame) => {
      frames.push(frame);
      queueMicrotask(() => request.end());
    };
    this.#greet(request);
  }

  /** What a connection begins with: answers to commands with an `id`, and news of those without unless it is quiet. */
  #greet(request: FakeRequest): void {
    const quiet = request.query.get("quiet") === "true";
    for (const command of request.commands) {
      const frame = this.#answer(command);
      if (frame !== undefined && (command.id !== undefined || !quiet)) request.send(frame);
    }
  }

  #answer(command: Command): ServerFrame | undefined {
    const answer = this.#server.answers[command.type] as ((command: Command) => ServerFrame | undefined) | undefined;
    const frame = answer?.(command);
    return frame && (JSON.parse(JSON.stringify(frame)) as ServerFrame);
  }

  #reply(request: FakeRequest, resolve: (response: ResponseLike) => void): void {
    const replies = request.commands.map((command) => this.#answer(command)).filter((frame) => frame !== undefined);
    request.answered = true;
    queueMicrotask(() => resolve(answer(200, replies.map((frame) => `${JSON.stringify(frame)}\n`).join(""))));
  }

  #events(url: string): InstanceType<EventSourceConstructor> {
    const request = this.#request(url);
    const source: InstanceType<EventSourceConstructor> = {
      onmessage: null,
      onerror: null,
      close: () => void (request.aborted = true),
    };
    request.deliver = (frame) => {
      const data = typeof frame === "string" ? frame : JSON.stringify(frame);
      queueMicrotask(() => request.aborted || source.onmessage?.({ data } as never));
    };
    request.finish = () => source.onerror?.({} as never);
    queueMicrotask(() => {
      const verdict = this.accept(request);
      if (verdict === "open") this.#greet(request);
      else if (verdict !== "ignore") request.end();
    });
    return source;
  }
}

function answer(status: number, text: string): ResponseLike {
  const body = new FakeBody();
  body.write(text);
  body.end();
  return { ok: status < 300, status, body, text: () => Promise.resolve(text) };
}
