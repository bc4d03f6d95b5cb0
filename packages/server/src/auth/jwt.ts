/**
 * JWT: who a client is, signed by the application with a shared secret (HS256, RFC 7515 and 7519).
 *
 * `jose` takes the token apart; the signature is computed here, since jose's way leads through WebCrypto, a promise and a
 * thread for every token: 15,000 clients that come at once took half as long again, and left 2 KB of resident memory each
 * (measured).
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { channelFault, type Json, userFault } from "@longwire/protocol";
import { decodeJwt, decodeProtectedHeader, errors } from "jose";
import { z } from "zod";
import type { Clock } from "../base/clock.ts";
import { ReplyError } from "../base/failures.ts";
import type { Allow, Authority, Identity } from "../ports/authority.ts";

/** Longest token, in characters. */
const TOKEN_LENGTH_MAX = 8192;
const LIST_MAX = 1000;
const NO_CHANNELS: readonly string[] = [];

const patterns = z.array(z.string().max(400)).max(LIST_MAX);

const Claims = z.object({
  sub: z
    .string()
    .optional()
    .superRefine((sub, context) => {
      const fault = sub === undefined ? undefined : userFault(sub);
      if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
    }),
  exp: z.number().optional(),
  nbf: z.number().optional(),
  channels: z
    .array(
      z.string().superRefine((channel, context) => {
        const fault = channelFault(channel);
        if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
      }),
    )
    .max(LIST_MAX)
    .optional(),
  channel: z.string().optional(),
  info: z.json().optional(),
  allow: z
    .strictObject({
      subscribe: patterns.optional(),
      publish: patterns.optional(),
      presence: patterns.optional(),
      history: patterns.optional(),
    })
    .optional(),
});

type Claims = z.infer<typeof Claims>;

/** An authority that trusts whoever knows the secret. Without a secret no token is good. */
export function jwtAuthority(secret: string | undefined, clock: Clock): Authority {
  function read(token: string): Claims {
    if (secret === undefined) throw new ReplyError("badToken", "the server has no token secret to check it with");
    if (token.length > TOKEN_LENGTH_MAX)
      throw new ReplyError("badToken", `it has more than ${TOKEN_LENGTH_MAX} characters`);
    checkSignature(token, secret);
    const claims = Claims.safeParse(parse(() => decodeJwt(token)));
    if (!claims.success) {
      const [issue] = claims.error.issues;
      throw new ReplyError("badToken", `claim \`${issue?.path.join(".") ?? ""}\`: ${issue?.message ?? ""}`);
    }
    const { exp, nbf } = claims.data;
    const nowSeconds = clock.now() / 1000;
    if (exp !== undefined && exp <= nowSeconds) throw new ReplyError("tokenExpired");
    if (nbf !== undefined && nbf > nowSeconds) throw new ReplyError("badToken", "claim `nbf` lies in the future");
    return claims.data;
  }

  return {
    async identify(token): Promise<Identity> {
      const { sub, exp, channels, channel, info, allow } = read(token);
      if (channel !== undefined) throw new ReplyError("badToken", "it is a token for one channel, not for connecting");
      return {
        user: sub,
        // Some say "never" with a number so large that its milliseconds are no number any more.
        expiresAt: exp === undefined ? undefined : Math.min(exp * 1000, Number.MAX_SAFE_INTEGER),
        channels: channels ?? NO_CHANNELS,
        info: info as Json | undefined,
        // Zod says `undefined` where the claim leaves an action out; to us that is the same.
        allow: allow as Allow | undefined,
      };
    },
    async admit(token, channel, user) {
      const claims = read(token);
      if (claims.channel !== channel) throw new ReplyError("badToken", `it is not for the channel ${channel}`);
      if (claims.sub !== undefined && claims.sub !== user) throw new ReplyError("badToken", "it names another user");
    },
  };
}

/**
 * The header is read first and must say HS256: a token that says `none`, or RS256 in the hope that our secret is taken for a public
 * key, is refused before anything is computed (RFC 8725 section 3.1).
 */
function checkSignature(token: string, secret: string): void {
  const { alg, crit } = parse(() => decodeProtectedHeader(token));
  if (alg !== "HS256") throw new ReplyError("badToken", "only HS256 is accepted");
  if (crit !== undefined) throw new ReplyError("badToken", "its header asks for extensions (`crit`)");
  const dot = token.lastIndexOf(".");
  const wanted = createHmac("sha256", secret).update(token.slice(0, dot)).digest();
  const given = Buffer.from(token.slice(dot + 1), "base64url");
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
    throw new ReplyError("badToken", "the signature is not ours");
  }
}

/** jose throws `JWTInvalid` and `TypeError` for what is no token. */
function parse<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) {
      throw new ReplyError("badToken", "it cannot be read as a JWT");
    }
    throw error;
  }
}
