/**
 * Workers, nodes and Redis are broken under load, one test for each storm: every acknowledged publication reaches everybody once and in order, or
 * who misses something is told so. `npm run chaos` runs the same storms and shows figures.
 */
import { expect, test } from "bun:test";
import { SCENARIOS } from "./chaos/scenarios.ts";
import { runStorm, SHORT } from "./chaos/storm.ts";

const size = process.env["LONGWIRE_SLOW"] === "full" ? { ...SHORT, isShort: false } : SHORT;
const SEED = Number(process.env["LONGWIRE_SEED"] ?? 1);

for (const scenario of SCENARIOS.filter(({ times }) => !size.isShort || times[0] > 0)) {
  test(`[P1] [P2] [P3] ${scenario.system}: ${scenario.name}`, async () => {
    const outcome = await runStorm(scenario, size, SEED);
    // Not everywhere may a network be made.
    expect(outcome?.broken ?? []).toEqual([]);
  });
}
