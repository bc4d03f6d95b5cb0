/**
 * The HTTP API in front of a FakeControl, called without a socket:
 *
 *     const api = startApi();
 *     await api.call("POST", "/api/publish", { channel: "room:1", data: 1 })   // {status, body, headers}
 *
 * `api.http` is the handler itself, for Bun.serve. Keys: `all` (every scope), `reader`, `publisher`, `manager` (one scope each),
 * `shop` (every scope, namespaces `shop` and the default one), `people` (every scope, namespace `@`).
 */
import type { LogFields, Logger } from "../../src/base/log.ts";
import type { ApiKey } from "../../src/config/api-key.ts";
import { createHttp, type HttpParts } from "../../src/http/api.ts";
import { FakeControl } from "./fake-control.ts";

const ALL = ["publish", "read", "manage"] as const;

export const KEYS: readonly ApiKey[] = [
  { name: "all", key: "key-of-all", scopes: ALL },
  { name: "reader", key: "key-of-reader", scopes: ["read"] },
  { name: "publisher", key: "key-of-publisher", scopes: ["publish"] },
  { name: "manager", key: "key-of-manager", scopes: ["manage"] },
  { name: "shop", key: "key-of-shop", scopes: ALL, namespaces: ["shop", ""] },
  { name: "people", key: "key-of-people", scopes: ALL, namespaces: ["@"] },
];

export const LIMITS = { bodyBytesMax: 100_000, publicationBytesMax: 2000, depthMax: 8, historyPageMax: 100 };

const quiet = (): void => {};

export interface Answer {
  readonly status: number;
  // The tests look into answers of every shape.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
  readonly headers: Headers;
}

export interface Api {
  readonly control: FakeControl;
  readonly http: (request: Request) => Response | Promise<Response>;
  readonly errors: readonly LogFields[];
  /** An object as `body` is sent as JSON, URLSearchParams as a form. */
  call(method: string, path: string, body?: unknown, options?: { key?: string | null; type?: string }): Promise<Answer>;
}

export function startApi(changes: Partial<HttpParts> = {}): Api {
  const control = new FakeControl();
  const errors: LogFields[] = [];
  const log: Logger = { debug: quiet, info: quiet, warn: quiet, error: (_, fields = {}) => errors.push(fields) };
  const parts = {
    control,
    keys: KEYS,
    log,
    health: () => ({ ready: true }),
    limits: LIMITS,
    version: "0.1.0",
    ...changes,
  };
  const http = createHttp(parts);
  return {
    control,
    http,
    errors,
    async call(method, path, body, { key = "key-of-all", type } = {}) {
      const headers = new Headers();
      if (key !== null) headers.set("authorization", `Bearer ${key}`);
      if (type !== undefined) headers.set("content-type", type);
      else if (body !== undefined && !(body instanceof URLSearchParams))
        headers.set("content-type", "application/json");
      const sent =
        body === undefined || typeof body === "string" || body instanceof URLSearchParams || body instanceof Uint8Array;
      const init = {
        method,
        headers,
        ...(body === undefined ? {} : { body: sent ? (body as string) : JSON.stringify(body) }),
      };
      return readAnswer(await http(new Request(`http://localhost${path}`, init)));
    },
  };
}

export async function readAnswer(response: Response): Promise<Answer> {
  const text = await response.text();
  const json = response.headers.get("content-type") === "application/json" && text !== "";
  return { status: response.status, body: json ? JSON.parse(text) : text, headers: response.headers };
}
