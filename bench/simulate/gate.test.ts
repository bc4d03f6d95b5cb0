import { expect, test } from "bun:test";
import { Agenda } from "./agenda.ts";
import { Gate } from "./gate.ts";
import { Station } from "./station.ts";

function crowd(size: number, { perSecond = 20_000, handshakeUs = 100 } = {}) {
  const agenda = new Agenda();
  const gate = new Gate(agenda, new Station("core", agenda), perSecond);
  const enteredAt: number[] = [];
  let turnedAway = 0;
  const knockAll = (): void => {
    for (let visitor = 0; visitor < size; visitor++) {
      gate.knock({ handshakeUs, entered: () => enteredAt.push(agenda.nowMs), turnedAway: () => turnedAway++ });
    }
  };
  return { agenda, gate, enteredAt, knockAll, turnedAway: () => turnedAway };
}

test("a few come in at once, one after the other", () => {
  const { agenda, enteredAt, knockAll } = crowd(3);
  knockAll();
  agenda.run();
  expect(enteredAt.map((ms) => Math.round(ms * 10) / 10)).toEqual([0.1, 0.2, 0.3]);
});

test("more at a moment than the kernel's queue holds are not answered, and knock again as TCP does", () => {
  const { agenda, gate, enteredAt, knockAll } = crowd(600);
  knockAll();
  agenda.run();
  expect(gate.unanswered).toBe(600 - 511);
  expect(enteredAt).toHaveLength(600);
  expect(enteredAt.filter((ms) => ms > 1000)).toHaveLength(600 - 511);
});

test("admission: so many a second at once, as many again wait a second, the others are turned away", () => {
  const { agenda, enteredAt, knockAll, turnedAway } = crowd(400, { perSecond: 100, handshakeUs: 1 });
  knockAll();
  agenda.run();
  expect(enteredAt.filter((ms) => ms < 1)).toHaveLength(100);
  expect(enteredAt.filter((ms) => ms >= 1 && ms <= 1001)).toHaveLength(100);
  expect(turnedAway()).toBe(200);
});

test("a dead node turns everybody away", () => {
  const { agenda, gate, knockAll, turnedAway } = crowd(5);
  gate.isOpen = false;
  knockAll();
  agenda.run();
  expect(turnedAway()).toBe(5);
});
