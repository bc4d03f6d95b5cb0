/**
 * Moving: a session goes on in another process than the one that has it. Whoever has taken it up is listed first, then asks for it; so at every moment somebody
 * has it, and what ends a user's sessions everywhere finds it. What the old process says at that moment counts.
 */
import { Disconnect } from "../base/failures.ts";
import { PEER_LENGTH } from "../ports/node-bus.ts";
import type { Core } from "./deps.ts";
import { type LuggageAnswer, packed, unpacked, type YieldAnswer } from "./luggage.ts";
import type { SessionLuggage } from "./model.ts";
import { isUnavailable } from "./peers.ts";

/** How often it may have gone on elsewhere while it was looked for. */
const HOPS_MAX = 3;

/** The mark of the process that made the session. What clients bring as an id may be anything. */
export function makerOf(id: string): string {
  return id.slice(-PEER_LENGTH);
}

/** What another process has. `silent`: it did not answer. */
export type Elsewhere =
  | { readonly has: "luggage"; readonly luggage: SessionLuggage; readonly owner: string }
  | { readonly has: "silent"; readonly owner: string }
  | { readonly has: "none" | "foreign" };

export async function askForLuggage(
  core: Core,
  owner: string,
  session: string,
  user: string | undefined,
): Promise<Elsewhere> {
  for (let hop = 0, asked = owner; hop < HOPS_MAX; hop++) {
    const { peers, handovers } = core;
    const peer = asked;
    const answer = await handovers.hear(peer, () => peers.ask(peer, "luggage", { session, user: user ?? null }));
    if (answer === undefined) return { has: "silent", owner: asked };
    if (answer.has === "luggage") return { has: "luggage", luggage: unpacked(answer.luggage), owner: asked };
    if (answer.has !== "moved") return { has: answer.has };
    if (answer.to === core.peers.self) break;
    asked = answer.to;
  }
  return { has: "none" };
}

/** `over`: it must not go on. `none`: it is not there any more. `silent`: nobody answered. */
export type Yielded =
  | { readonly has: "luggage"; readonly luggage: SessionLuggage }
  | { readonly has: "silent"; readonly owner: string }
  | { readonly has: "over" | "none" };

export async function askToYield(core: Core, owner: string, session: string): Promise<Yielded> {
  for (let hop = 0, asked = owner; hop < HOPS_MAX; hop++) {
    let answer: YieldAnswer;
    try {
      answer = await core.peers.ask(asked, "yield", { session });
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      return { has: "silent", owner: asked };
    }
    if (answer.has === "luggage") return { has: "luggage", luggage: unpacked(answer.luggage) };
    if (answer.has !== "moved") return { has: answer.has };
    if (answer.to === core.peers.self) break;
    asked = answer.to;
  }
  return { has: "none" };
}

export function answerLuggage(
  core: Core,
  { session: id, user }: { session: string; user: string | null },
): LuggageAnswer {
  const session = core.sessions.get(id);
  const to = core.handovers.movedTo(id);
  if (session === undefined) return to === undefined ? { has: "none" } : { has: "moved", to };
  if ((session.identity.user ?? null) !== user) return { has: "foreign" };
  return { has: "luggage", luggage: packed(session.luggage) };
}

export async function answerYield(
  core: Core,
  { session: id }: { session: string },
  from: string,
): Promise<YieldAnswer> {
  // Its luggage may be on its way here.
  await core.handovers.arrived(id);
  const session = core.sessions.get(id);
  if (session !== undefined) {
    core.handovers.moved(id, from);
    // The old connection may be dead without our knowing: whoever comes back with the id is the client now.
    core.goodbye(session, new Disconnect("replaced"));
    return { has: "luggage", luggage: packed(session.luggage) };
  }
  if (core.handovers.isOver(id)) return { has: "over" };
  const to = core.handovers.movedTo(id);
  return to === undefined || to === from ? { has: "none" } : { has: "moved", to };
}
