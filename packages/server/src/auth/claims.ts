/** Claims: what a token says once its signature is known to be good (RFC 7519), in our words. */
import { channelFault, userFault } from "@longwire/protocol";
import { z } from "zod";
import { ReplyError } from "../base/failures.ts";
import type { Allow, Identity } from "../ports/authority.ts";

const LIST_MAX = 1000;
const NO_CHANNELS: readonly string[] = [];

/** Libraries write `nbf` by the clock of the machine that signs, and clocks differ. */
const SKEW_SECONDS = 5;

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
  iat: z.number().optional(),
  iss: z.unknown().optional(),
  aud: z.unknown().optional(),
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

/** Whom the tokens must be for and from; undefined: that is not looked at. */
export interface TokenTerms {
  readonly audience: string | undefined;
  readonly issuer: string | undefined;
}

/** A token whose signature is good. Its times are looked at anew at each use. */
export interface CheckedToken {
  readonly identity: Identity;
  /** Unix milliseconds. */
  readonly notBefore: number | undefined;
  /** It is a token for this one channel. */
  readonly channel: string | undefined;
}

export function readClaims(payload: unknown, { audience, issuer }: TokenTerms): CheckedToken {
  const claims = Claims.safeParse(payload);
  if (!claims.success) {
    const [issue] = claims.error.issues;
    throw new ReplyError("badToken", `claim \`${issue?.path.join(".") ?? ""}\`: ${issue?.message ?? ""}`);
  }
  const { sub, exp, nbf, iat, iss, aud, channels, channel, info, allow } = claims.data;
  if (issuer !== undefined && iss !== issuer) throw new ReplyError("badToken", "claim `iss`: it is of another issuer");
  if (audience !== undefined && aud !== audience && !(Array.isArray(aud) && aud.includes(audience)))
    throw new ReplyError("badToken", "claim `aud`: it is for another audience");
  return {
    identity: {
      user: sub,
      expiresAt: milliseconds(exp),
      issuedAt: milliseconds(iat),
      channels: channels ?? NO_CHANNELS,
      info,
      // Zod says `undefined` where the claim leaves an action out; to us that is the same.
      allow: allow as Allow | undefined,
    },
    notBefore: milliseconds(nbf),
    channel,
  };
}

export function requireTime({ identity, notBefore }: CheckedToken, now: number): void {
  if (identity.expiresAt !== undefined && identity.expiresAt <= now) throw new ReplyError("tokenExpired");
  if (notBefore !== undefined && notBefore > now + SKEW_SECONDS * 1000)
    throw new ReplyError("badToken", "claim `nbf` lies in the future");
}

/** Some say "never" with a number so large that its milliseconds are no number any more. */
function milliseconds(seconds: number | undefined): number | undefined {
  if (seconds === undefined) return undefined;
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(seconds * 1000, Number.MAX_SAFE_INTEGER));
}
