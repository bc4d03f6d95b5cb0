/**
 * Members as clients see them. Knowing a session's id is the proof that resuming it takes, so others are shown a mask of it; a
 * session finds itself by its own id.
 */
import type { Member } from "@longwire/protocol";
import { maskedSessionId } from "../base/ids.ts";

/** The member as the others see it. */
export function masked(member: Member): Member {
  return { ...member, session: maskedSessionId(member.session) };
}

/** The members as this session sees them, up to so many bytes; at least one. */
export function shownTo(session: { readonly id: string }, members: readonly Member[], bytesMax: number): Member[] {
  const shown: Member[] = [];
  let bytes = 0;
  for (const member of members) {
    bytes += Buffer.byteLength(JSON.stringify(member));
    if (bytes > bytesMax && shown.length > 0) break;
    shown.push(member.session === session.id ? member : masked(member));
  }
  return shown;
}
