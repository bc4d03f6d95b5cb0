/** JWT: who a client is, signed by the application with a shared secret (HS256). */
import { channelFault, type Json, userFault } from "@longwire/protocol";
import { errors, type JWTPayload, jwtVerify } from "jose";
import { z } from "zod";
import type { Clock } from "../base/clock.ts";
import { ReplyError } from "../base/failures.ts";
import type { Allow, Authority, Identity } from "../ports/authority.ts";

/** Longest token, in characters. */
const TOKEN_LENGTH_MAX = 8192;
const LIST_MAX = 1000;

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
  const key = secret === undefined ? undefined : new TextEncoder().encode(secret);

  async function read(token: string): Promise<Claims> {
    if (key === undefined) throw new ReplyError("badToken", "the server has no token secret to check it with");
    if (token.length > TOKEN_LENGTH_MAX)
      throw new ReplyError("badToken", `it has more than ${TOKEN_LENGTH_MAX} characters`);
    const claims = Claims.safeParse(await verify(token, key));
    if (claims.success) return claims.data;
    const [issue] = claims.error.issues;
    throw new ReplyError("badToken", `claim \`${issue?.path.join(".") ?? ""}\`: ${issue?.message ?? ""}`);
  }

  async function verify(token: string, key: Uint8Array): Promise<JWTPayload> {
    try {
      // The list of algorithms is fixed: a token that says `none`, or RS256 with our secret as a public key, is refused.
      const { payload } = await jwtVerify(token, key, { algorithms: ["HS256"], currentDate: new Date(clock.now()) });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new ReplyError("tokenExpired");
      if (error instanceof errors.JOSEError) throw new ReplyError("badToken", faultOf(error));
      throw error;
    }
  }

  return {
    async identify(token): Promise<Identity> {
      const { sub, exp, channels, channel, info, allow } = await read(token);
      if (channel !== undefined) throw new ReplyError("badToken", "it is a token for one channel, not for connecting");
      return {
        user: sub,
        expiresAt: exp === undefined ? undefined : exp * 1000,
        channels: channels ?? [],
        info: info as Json | undefined,
        // Zod says `undefined` where the claim leaves an action out; to us that is the same.
        allow: allow as Allow | undefined,
      };
    },
    async admit(token, channel, user) {
      const claims = await read(token);
      if (claims.channel !== channel) throw new ReplyError("badToken", `it is not for the channel ${channel}`);
      if (claims.sub !== undefined && claims.sub !== user) throw new ReplyError("badToken", "it names another user");
    },
  };
}

function faultOf(error: errors.JOSEError): string {
  if (error instanceof errors.JWSSignatureVerificationFailed) return "the signature is not ours";
  if (error instanceof errors.JOSEAlgNotAllowed) return "only HS256 is accepted";
  if (error instanceof errors.JWTClaimValidationFailed) return `claim \`${error.claim}\` is not acceptable`;
  return "it cannot be read as a JWT";
}
