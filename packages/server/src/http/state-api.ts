/** `/api/state/…`: shared values and counters; `/api/stats`: totals. */
import type { Control } from "../ports/control.ts";
import { textOf, type ValueLimits } from "./check.ts";
import { operation, type Operation } from "./operation.ts";
import * as schemas from "./schemas.ts";

export function stateOperations(control: Control, limits: ValueLimits): Operation[] {
  return [
    operation({
      method: "GET",
      path: "/api/state/{key}",
      tag: "state",
      id: "getState",
      summary: "A shared value",
      scope: "read",
      answer: schemas.stateAnswer,
      errors: ["notFound"],
      run: async ({ parameters }) => ({ value: await control.state(parameters.key) }),
    }),
    operation({
      method: "POST",
      path: "/api/state/{key}",
      tag: "state",
      id: "changeState",
      summary: "Set a shared value, or add to a counter, atomically",
      scope: "manage",
      body: schemas.stateChange,
      answer: schemas.stateAnswer,
      errors: ["notFound", "limit", "tooLarge", "tooDeep", "unavailable"],
      async run({ parameters: { key }, body: { set, add, ttlSeconds, session } }) {
        const ttlMs = ttlSeconds === undefined ? undefined : Math.ceil(ttlSeconds * 1000);
        if (add !== undefined) {
          const sum =
            session === undefined ? control.addState(key, add, ttlMs) : control.addSessionState(session, key, add);
          return { value: await sum };
        }
        const value = set ?? null;
        textOf(value, limits, "set");
        await (session === undefined
          ? control.setState(key, value, ttlMs)
          : control.setSessionState(session, key, value));
        return { value };
      },
    }),
    operation({
      method: "DELETE",
      path: "/api/state/{key}",
      tag: "state",
      id: "removeState",
      summary: "Remove a shared value",
      scope: "manage",
      errors: ["notFound", "unavailable"],
      run: ({ parameters }) => control.removeState(parameters.key),
    }),
    operation({
      method: "GET",
      path: "/api/stats",
      tag: "stats",
      id: "getStats",
      summary: "Totals of this server",
      scope: "read",
      answer: schemas.statsView,
      run: () => control.stats(),
    }),
  ];
}
