/** The kind of a cookie's name. */
import { type Kind, refuse, text } from "./kinds.ts";

const PATTERN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** RFC 6265 section 4.1.1. */
export const cookieName: Kind<string> = {
  ...text,
  allowed: "the name of a cookie",
  schema: { type: "string", pattern: PATTERN.source },
  check(value, path, report) {
    if (typeof value !== "string" || !PATTERN.test(value)) refuse(report, path, cookieName.allowed, value);
    return value as string;
  },
};
