/** Kinds of values that have to do with HTTP. */
import { type Kind, refuse, text } from "./kinds.ts";

const URL_ALLOWED = "an http:// or https:// address without user, password and fragment";

/** An address to be asked. What proves who asks does not belong into it: addresses are shown in logs. */
export const httpUrl: Kind<string> = {
  allowed: URL_ALLOWED,
  schema: { type: "string", pattern: "^https?://" },
  check(value, path, report) {
    if (typeof value !== "string" || !URL.canParse(value)) {
      refuse(report, path, URL_ALLOWED, value);
      return "";
    }
    const { protocol, username, password, hash } = new URL(value);
    const isPlain = username === "" && password === "" && hash === "";
    // Not shown: it may hold a password.
    if (!isPlain || !/^https?:$/.test(protocol)) report(path, `must be ${URL_ALLOWED}`);
    return value;
  },
  fromText: (word) => word,
};

const HEADER_ALLOWED = "the name of a header in lower case";

/** RFC 9110 section 5.1, in the one spelling in which names are compared. */
export const headerName: Kind<string> = {
  ...text,
  allowed: HEADER_ALLOWED,
  schema: { type: "string", pattern: "^[!#$%&'*+.^_`|~0-9a-z-]+$" },
  check(value, path, report) {
    if (typeof value !== "string" || !/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(value))
      refuse(report, path, HEADER_ALLOWED, value);
    return value as string;
  },
};
