/** Shared values that belong to a session: set and added to in its name, removed when it has ended for good. */
import { ReplyError } from "../../base/failures.ts";
import { BOUND_KEYS_MAX, BOUND_MS, stateKey } from "../bound-state.ts";
import type { Core } from "../deps.ts";
import { keepLuggage } from "../resume.ts";
import type { Session } from "../model.ts";

export async function setBound(core: Core, session: Session, key: string, value: string): Promise<void> {
  await bind(core, session, key, () => core.engine.state.set(stateKey(key), value, BOUND_MS));
}

export async function addBound(core: Core, session: Session, key: string, amount: number): Promise<number> {
  return await bind(core, session, key, () => core.engine.state.add(stateKey(key), amount, BOUND_MS));
}

/**
 * The name goes into the luggage and the change to the store in one turn: should the session end meanwhile, its keys are renewed or removed behind the
 * change, never before it.
 */
async function bind<T>(core: Core, session: Session, key: string, change: () => Promise<T>): Promise<T> {
  const { keys } = session.luggage;
  if (keys.includes(key)) return await change();
  if (keys.length >= BOUND_KEYS_MAX)
    throw new ReplyError("limit", `${BOUND_KEYS_MAX} state keys belong to this session already`);
  session.luggage = { ...session.luggage, keys: [...keys, key] };
  let result: T;
  try {
    result = await change();
  } catch (error) {
    // It was no number, for instance: then it is not the session's, and must not go with it.
    session.luggage = { ...session.luggage, keys: session.luggage.keys.filter((other) => other !== key) };
    throw error;
  }
  await keepLuggage(core, session);
  return result;
}
