/**
 * A backend over real HTTP that answers the gateway's questions as the test says.
 *
 *     const backend = await startBackend();
 *     const server = await startServer({ "hook-url": backend.url });
 *     backend.answer = (question) => ({ allow: question.headers?.cookie === "sid=1", user: "bob" });   // an object: 200 and JSON
 *     backend.answer = () => ({ status: 500, body: "oops" });        // or a whole answer; or "silence", "hang up", or a promise of one
 *     backend.asked;                                                 // the questions, in order of their arrival
 *     backend.connections; backend.open; backend.atOnceMax;          // TCP connections ever and now; most questions at the same time
 *     await backend.stop();
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface BackendQuestion {
  readonly event: string;
  readonly session: string;
  readonly user?: string;
  readonly channel?: string;
  readonly data?: unknown;
  readonly encoding?: string;
  readonly transport?: string;
  readonly protocol?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly token?: string;
}

/** `body`: text, or chunks that are written one after the other. */
export interface WholeAnswer {
  readonly status: number;
  readonly body: string | AsyncIterable<string>;
  readonly headers?: Readonly<Record<string, string>>;
}

export type BackendAnswer =
  { readonly allow: unknown; readonly [field: string]: unknown } | WholeAnswer | "silence" | "hang up";

export class FakeBackend {
  answer: (question: BackendQuestion, request: IncomingMessage) => BackendAnswer | Promise<BackendAnswer> = () => ({
    allow: true,
  });
  readonly asked: BackendQuestion[] = [];
  connections = 0;
  atOnce = 0;
  atOnceMax = 0;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  constructor() {
    this.#server.on("connection", () => this.connections++);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hooks`;
  }

  /** `port`: that of one that was stopped. */
  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request as AsyncIterable<Buffer>) text += chunk.toString();
    const question = JSON.parse(text) as BackendQuestion;
    this.asked.push(question);
    this.atOnceMax = Math.max(this.atOnceMax, ++this.atOnce);
    response.on("close", () => this.atOnce--);
    const answer = await this.answer(question, request);
    if (answer === "silence") return;
    if (answer === "hang up") {
      request.socket.destroy();
      return;
    }
    const isWhole = "status" in answer;
    response.writeHead(isWhole ? (answer.status as number) : 200, {
      "content-type": "application/json",
      ...(isWhole && (answer as WholeAnswer).headers),
    });
    if (!isWhole) response.end(JSON.stringify(answer));
    else if (typeof answer.body === "string") response.end(answer.body);
    else {
      for await (const chunk of answer.body as AsyncIterable<string>) {
        if (response.destroyed) return;
        response.write(chunk);
      }
      response.end();
    }
  }
}

export function startBackend(): Promise<FakeBackend> {
  return new FakeBackend().start();
}
