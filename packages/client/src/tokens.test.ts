import { expect, test } from "bun:test";
import { FakeClock, settle } from "../test/support/fake-clock.ts";
import { Tokens } from "./tokens.ts";

test("those who ask at the same time share one question", async () => {
  let asked = 0;
  const tokens = new Tokens(
    { getToken: () => Promise.resolve(`t${++asked}`), clock: new FakeClock(), report: () => undefined },
    () => Promise.resolve(undefined),
  );
  expect(await Promise.all([tokens.obtain(), tokens.obtain()])).toEqual(["t1", "t1"]);
  expect(await tokens.obtain()).toBe("t2");
  expect(tokens.current).toBe("t2");
});

test("a renewal that fails is reported and tried again", async () => {
  const clock = new FakeClock();
  const errors: unknown[] = [];
  const sent: string[] = [];
  let fail = true;
  const tokens = new Tokens(
    {
      token: "t",
      getToken: () => (fail ? Promise.reject(new Error("away")) : Promise.resolve("new")),
      clock,
      report: (error) => errors.push(error),
    },
    (token) => {
      sent.push(token);
      return Promise.resolve(undefined);
    },
  );
  tokens.renewBefore(40_000);
  await clock.advance(36_000);
  expect(errors).toEqual([new Error("away")]);
  fail = false;
  await clock.advance(5000);
  expect(sent).toEqual(["new"]);
  await clock.advance(100_000);
  await settle();
  expect(sent).toEqual(["new"]);
  expect(clock.pending).toBe(0);
});
