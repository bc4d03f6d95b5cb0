import { describe, expect, test } from "bun:test";
import { ReplyError } from "../base/failures.ts";
import { credentialReader, readOffer } from "./credentials.ts";

const JWT = "aa.bb.cc";

function tokenIn(headers: Readonly<Record<string, string>>, hasOtherBearers = false): string | undefined {
  const read = credentialReader({ cookie: "t", trusted: (origin) => origin === "https://ours", hasOtherBearers });
  return read(new Request("http://gateway/ws", { headers }), { channels: [] }).requestToken;
}

function inCookie(cookie: string): string | undefined {
  return tokenIn({ origin: "https://ours", cookie });
}

describe("[CO-19] [CO-20] a token in the request's headers", () => {
  test("where the application gives out bearer tokens of its own, only a JWT is one of ours", () => {
    expect(tokenIn({ authorization: "Bearer 1|abc" })).toBe("1|abc");
    expect(tokenIn({ authorization: "Bearer 1|abc" }, true)).toBeUndefined();
    expect(tokenIn({ authorization: `Bearer ${JWT}` }, true)).toBe(JWT);
    const cookie = { origin: "https://ours", cookie: `t=${JWT}` };
    expect(tokenIn({ authorization: "Bearer 1|abc", ...cookie }, true)).toBe(JWT);
  });

  test("cookies of every spelling are read without harm", () => {
    expect(inCookie(`a=1; t=${JWT}; b=2`)).toBe(JWT);
    expect(inCookie(`t = ${JWT} `)).toBe(JWT);
    expect(inCookie(`t="${JWT}"`)).toBe(JWT);
    expect(inCookie(`t=first; t=second`)).toBe("first");
    for (const cookie of ["t", "=t", "t=", ";;;", `T=${JWT}`, `tt=${JWT}`, `a=t=${JWT}`]) {
      expect([cookie, inCookie(cookie)]).toEqual([cookie, undefined]);
    }
  });
});

describe("[CO-21] subprotocols", () => {
  test("the token is taken out of the list, and the answer never names it", () => {
    expect(readOffer(null)).toEqual({ token: undefined, answer: undefined });
    expect(readOffer("chat, superchat")).toEqual({ token: undefined, answer: undefined });
    expect(readOffer("chat, longwire")).toEqual({ token: undefined, answer: "longwire" });
    expect(readOffer(`token.${JWT},longwire`)).toEqual({ token: JWT, answer: "longwire" });
    const coded = Buffer.from(JWT).toString("base64url");
    expect(readOffer(` longwire ,token.${coded}`)).toEqual({ token: JWT, answer: "longwire" });
    expect(readOffer("longwire, token.")).toEqual({ token: undefined, answer: "longwire" });
    // Else the cookie would be tried in its place.
    expect(readOffer("longwire, token.!")).toEqual({ token: "!", answer: "longwire" });
    expect(() => readOffer(`token.${JWT}`)).toThrow(ReplyError);
    expect(() => readOffer(`chat, token.${JWT}`)).toThrow("longwire");
  });
});
