/** Bytes in JSON: base64 as RFC 4648 section 4 has it, with its padding. */

const NO_DIGIT = /[^A-Za-z0-9+/]/;

/** What is wrong with `data` whose `encoding` is `base64`; `undefined` when it stands for bytes. */
export function base64Fault(data: unknown): string | undefined {
  if (typeof data !== "string") return "`data` must be a string where `encoding` is base64";
  // One search for what must not be there: an expression that takes groups of four takes a hundred times as long (measured).
  const padding = data.endsWith("==") ? 2 : data.endsWith("=") ? 1 : 0;
  const isGood = data.length % 4 === 0 && !NO_DIGIT.test(data.slice(0, data.length - padding));
  return isGood ? undefined : "`data` is no base64 with its padding (RFC 4648 section 4)";
}
