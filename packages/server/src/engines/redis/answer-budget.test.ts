import { expect, test } from "bun:test";
import { AnswerBudget } from "./answer-budget.ts";

const MB = 1024 * 1024;

test("long answers wait for each other in the order of the calls, short ones too, and each is asked for", async () => {
  const budget = new AnswerBudget();
  const asked: number[] = [];
  const answers = [10 * MB, MB, MB, 100, 10 * MB, 200].map((bytes, number) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const call = budget.ask(bytes, () => {
      asked.push(number);
      return promise;
    });
    return async (): Promise<void> => {
      resolve();
      await call;
    };
  });
  expect(asked).toEqual([0]);
  await answers[0]?.();
  expect(asked).toEqual([0, 1, 2]);
  await answers[1]?.();
  expect(asked).toEqual([0, 1, 2, 3]);
  await answers[3]?.();
  expect(asked).toEqual([0, 1, 2, 3]);
  await answers[2]?.();
  expect(asked).toEqual([0, 1, 2, 3, 4]);
  await answers[4]?.();
  await answers[5]?.();
  expect(asked).toEqual([0, 1, 2, 3, 4, 5]);
});

test("a question that fails gives its place to the next one", async () => {
  const budget = new AnswerBudget();
  const failed = budget.ask(4 * MB, () => Promise.reject(new Error("lost")));
  const next = budget.ask(4 * MB, () => Promise.resolve("answered"));
  expect(failed).rejects.toThrow("lost");
  expect(await next).toBe("answered");
});
