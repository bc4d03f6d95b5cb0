/** API keys: who calls, and what the key may do. There are no CORS headers: the API is for servers, and a page must not hold a key. */
import { timingSafeEqual } from "node:crypto";
import { namespaceOf } from "@longwire/protocol";
import { ReplyError } from "../base/failures.ts";
import type { ApiKey, Scope } from "../config/api-key.ts";

/** What the caller of one request may do. */
export class Grant {
  readonly name: string;
  private readonly scopes: ReadonlySet<Scope>;
  private readonly namespaces: ReadonlySet<string> | undefined;

  constructor(key: ApiKey) {
    this.name = key.name;
    this.scopes = new Set(key.scopes);
    this.namespaces = key.namespaces === undefined ? undefined : new Set(key.namespaces);
  }

  /** Whether the key is confined to some namespaces. */
  get confined(): boolean {
    return this.namespaces !== undefined;
  }

  requireScope(scope: Scope): void {
    if (!this.scopes.has(scope)) throw new ReplyError("forbidden", `the API key lacks the scope \`${scope}\``);
  }

  mayTouch(channel: string): boolean {
    return this.namespaces === undefined || this.namespaces.has(namespaceOf(channel));
  }

  requireChannel(channel: string): void {
    if (this.mayTouch(channel)) return;
    const namespace = namespaceOf(channel);
    const words = namespace === "" ? "the default namespace" : `the namespace \`${namespace}\``;
    throw new ReplyError("forbidden", `the API key is limited to namespaces, and ${words} is none of them`);
  }

  /** For what belongs to no namespace: sessions, shared state, totals. */
  requireUnconfined(): void {
    if (this.confined) {
      throw new ReplyError("forbidden", "the API key is limited to namespaces, and this reaches beyond channels");
    }
  }
}

/** Who asks what needs no key. */
export const ANYBODY = new Grant({ name: "", key: "", scopes: [] });

/** Makes the check of the `Authorization` header. */
export function createGuard(keys: readonly ApiKey[]): (header: string | null) => Grant {
  const known = keys.map((key) => ({ digest: digestOf(key.key), grant: new Grant(key) }));
  return (header) => {
    if (header === null) throw new ReplyError("badKey", "send it as `Authorization: Bearer <API key>`");
    if (!/^bearer /i.test(header)) throw new ReplyError("badKey", "the scheme must be `Bearer`");
    const presented = digestOf(header.slice(7).trim());
    // Digests have one length and every one is compared, so that time tells neither a key's length nor how much of it was right.
    let found: Grant | undefined;
    for (const { digest, grant } of known) if (timingSafeEqual(digest, presented)) found = grant;
    if (found === undefined) throw new ReplyError("badKey", "no such API key");
    return found;
  };
}

function digestOf(key: string): Uint8Array {
  // Half the time of node:crypto's.
  return Bun.SHA256.hash(key) as Uint8Array;
}
