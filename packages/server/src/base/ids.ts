/** Names that must not be guessed or met twice. */
import { hash, randomBytes } from "node:crypto";

/** A session id: 120 random bits, so that knowing one is proof of having been given it. Behind it stands the mark of the process that made it, if it has any. */
export function newSessionId(): string {
  return randomBytes(15).toString("base64url");
}

/** The mark of a process among its peers. 36 bits, which a few hundred processes do not draw twice. */
export function newPeerMark(): string {
  return randomBytes(5).toString("base64url").slice(0, 6);
}

/** What stands for a session where others see it: always the same, and no way back to the id. */
export function maskedSessionId(id: string): string {
  return hash("sha256", id, "base64url").slice(0, 20);
}

/** An epoch: names one life of a channel's numbering. 48 random bits: it is compared within one channel only. */
export function newEpoch(): string {
  return randomBytes(6).toString("base64url");
}

/** An API key that the server makes for itself when none is configured. */
export function newApiKey(): string {
  return `lw_${randomBytes(24).toString("base64url")}`;
}
