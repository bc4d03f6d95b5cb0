/** Bytes in JSON: base64 as RFC 4648 section 4 has it, with its padding. */

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** What is wrong with `data` whose `encoding` is `base64`; `undefined` when it stands for bytes. */
export function base64Fault(data: unknown): string | undefined {
  if (typeof data !== "string") return "`data` must be a string where `encoding` is base64";
  return BASE64.test(data) ? undefined : "`data` is no base64 with its padding (RFC 4648 section 4)";
}
