/** Trust: whose tokens are believed. A reload replaces all of it at once, tokens checked before included. */
import { configuredKeys } from "../auth/configured-keys.ts";
import { fetchKeySet } from "../auth/jwks.ts";
import { jwtAuthority } from "../auth/jwt.ts";
import { PublishedKeys } from "../auth/key-set.ts";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/schema.ts";
import type { Authority } from "../ports/authority.ts";

interface Trusted {
  readonly authority: Authority;
  readonly published: PublishedKeys | undefined;
  readonly jwksUrl: string | undefined;
  readonly jwksCacheSeconds: number;
}

export class Trust implements Authority {
  #trusted: Trusted;

  /** Throws `StartupError` where a key cannot be used. */
  constructor(
    config: Config,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {
    this.#trusted = this.#read(config, undefined);
  }

  identify(token: string): ReturnType<Authority["identify"]> {
    return this.#trusted.authority.identify(token);
  }

  admit(token: string, channel: string, user: string | undefined): ReturnType<Authority["admit"]> {
    return this.#trusted.authority.admit(token, channel, user);
  }

  /** Reads the keys again, and throws like the constructor. Nothing changes before the function that it returns is called. */
  prepare(config: Config): () => void {
    const next = this.#read(config, this.#trusted);
    return () => {
      const { published } = this.#trusted;
      this.#trusted = next;
      if (published === next.published) return;
      published?.stop();
      this.fetch();
    };
  }

  /** So that the first clients need not wait for what is published. */
  fetch(): void {
    void this.#trusted.published?.ready();
  }

  stop(): void {
    this.#trusted.published?.stop();
  }

  #read(config: Config, before: Trusted | undefined): Trusted {
    const { tokenSecret, tokenKeys, tokenAudience, tokenIssuer, jwksUrl, jwksCacheSeconds } = config;
    const keys = configuredKeys(tokenSecret, tokenKeys);
    const isSame = before?.jwksUrl === jwksUrl && before?.jwksCacheSeconds === jwksCacheSeconds;
    // Known keys outlast a reload during which their endpoint cannot be reached.
    const published = isSame ? before.published : this.#publishedKeys(jwksUrl, jwksCacheSeconds);
    const { clock } = this;
    const authority = jwtAuthority({ keys, published, clock, audience: tokenAudience, issuer: tokenIssuer });
    return { authority, published, jwksUrl, jwksCacheSeconds };
  }

  #publishedKeys(url: string | undefined, cacheSeconds: number): PublishedKeys | undefined {
    if (url === undefined) return undefined;
    const { clock, log } = this;
    return new PublishedKeys({
      fetchText: (signal) => fetchKeySet(url, signal),
      cacheMs: cacheSeconds * 1000,
      clock,
      log,
    });
  }
}
