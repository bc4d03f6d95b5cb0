import { expect, test } from "bun:test";
import { OPEN, settle } from "../../test/support/core.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { ReplyError } from "../base/failures.ts";
import type { LogFields } from "../base/log.ts";
import { Turn } from "../base/turn.ts";
import type { HistoryPage } from "../ports/broker.ts";
import { Mending, type MendingDeps } from "./mending.ts";
import { LocalChannel } from "./model.ts";

test("an outage that concerns all channels is one line of the log, with how many", async () => {
  const clock = new FakeClock();
  const lines: unknown[] = [];
  let isAway = true;
  const history = (name: string): Promise<HistoryPage> => {
    if (isAway) return Promise.reject(new ReplyError("unavailable"));
    const reached = name !== "c0";
    return Promise.resolve({ top: { epoch: "", offset: 5 }, reached, publications: [], more: false });
  };
  const note = (event: string, fields?: LogFields): void => void lines.push([event, fields]);
  const mending = new Mending({
    history,
    clock,
    turn: new Turn(),
    outbox: undefined as unknown as MendingDeps["outbox"],
    log: { debug: () => undefined, info: note, warn: note, error: note },
    isFollowed: () => true,
    flow: () => undefined,
  });
  for (let number = 0; number < 100; number++) mending.begin(new LocalChannel(`c${number}`, OPEN));
  await settle();
  isAway = false;
  clock.advance(1000);
  await settle();
  expect(lines).toEqual([]);
  clock.advance(1000);
  expect(lines).toEqual([["channels mended", { recovered: 99, lost: 1, waiting: 100 }]]);
});
