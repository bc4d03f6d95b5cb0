/** Cookies: which pages may use them, and how their tokens are read. */
import { originCheck } from "../auth/origin.ts";
import { asksWhoConnects, checksTokens, type Config } from "../config/schema.ts";
import { type CredentialReader, credentialReader } from "../transports/credentials.ts";

export interface CookieParts {
  readonly credentials: CredentialReader;
  /** Whether a page of this origin may send its visitor's cookies along, and read the answer. */
  readonly mayUseCookies: (origin: string, host: string | null) => boolean;
}

export function cookieParts(config: Config): CookieParts {
  const { tokenCookie: cookie, origins, hookHeaders } = config;
  // Only origins that are named, and the server's own: not all of `*`, and not every page of this machine.
  const named = origins.filter((origin) => origin !== "*" && origin !== "null");
  const trusted = originCheck(named, false, true);
  const isUsed = cookie !== undefined || (asksWhoConnects(config) && hookHeaders.includes("cookie"));
  return {
    // Where no token could be checked, a header is for somebody else.
    credentials: checksTokens(config)
      ? credentialReader({ cookie, trusted, hasOtherBearers: asksWhoConnects(config) })
      : (_, handshake) => handshake,
    mayUseCookies: isUsed ? trusted : () => false,
  };
}
