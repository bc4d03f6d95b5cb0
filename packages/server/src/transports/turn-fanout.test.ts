import { expect, test } from "bun:test";
import { Turn } from "../base/turn.ts";
import type { Frame } from "../ports/connection.ts";
import { TurnFanout, type TurnMember } from "./turn-fanout.ts";

class Member implements TurnMember {
  readonly writes: string[] = [];
  readonly arrays: Uint8Array[] = [];
  /** What it does when it is written to. */
  onDeliver: () => void = () => undefined;

  deliver(bytes: Uint8Array): void {
    this.arrays.push(bytes);
    this.writes.push(new TextDecoder().decode(bytes));
    this.onDeliver();
  }
}

interface House {
  readonly fanout: TurnFanout;
  readonly endTurn: () => Promise<void>;
  /** How often frames were joined. */
  readonly framings: Frame[][];
}

function build(): House {
  const turn = new Turn();
  const framings: Frame[][] = [];
  const fanout = new TurnFanout(turn, (frames) => {
    framings.push([...frames]);
    return Buffer.from(frames.map((frame) => `${String(frame)};`).join(""));
  });
  return { fanout, framings, endTurn: () => turn.end() };
}

test("[P6] what a turn publishes is framed once and written once, the same bytes to all", async () => {
  const { fanout, framings, endTurn } = build();
  const members = [new Member(), new Member(), new Member()];
  for (const member of members) fanout.join("a", member);
  for (let n = 1; n <= 100; n++) expect(fanout.publish("a", `${n}`)).toBeTrue();
  expect(members[0]?.writes).toEqual([]);
  await endTurn();
  expect(framings).toHaveLength(1);
  const text = Array.from({ length: 100 }, (_, n) => `${n + 1};`).join("");
  for (const { writes, arrays } of members) {
    expect(writes).toEqual([text]);
    expect(arrays[0]).toBe(members[0]?.arrays[0] as Uint8Array);
  }
  await endTurn();
  expect(members[0]?.writes).toHaveLength(1);
});

test("[P6] several topics in one turn: one write for each, shared by those who follow the same ones", async () => {
  const { fanout, framings, endTurn } = build();
  const [both, also, onlyA, onlyB] = [new Member(), new Member(), new Member(), new Member()];
  for (const member of [both, also, onlyA]) fanout.join("a", member);
  for (const member of [both, also, onlyB]) fanout.join("b", member);
  fanout.publish("a", "1");
  fanout.publish("b", "2");
  fanout.publish("a", "3");
  await endTurn();
  expect(both.writes).toEqual(["1;3;2;"]);
  expect(also.arrays[0]).toBe(both.arrays[0] as Uint8Array);
  expect([onlyA.writes, onlyB.writes]).toEqual([["1;3;"], ["2;"]]);
  expect(framings).toHaveLength(2);
});

test("who joins in the middle of a turn gets what comes from now on, others miss nothing", async () => {
  const { fanout, endTurn } = build();
  const [old, young] = [new Member(), new Member()];
  fanout.join("a", old);
  fanout.publish("a", "before");
  fanout.join("a", young);
  fanout.publish("a", "after");
  await endTurn();
  expect(old.writes.join("")).toBe("before;after;");
  expect(young.writes).toEqual(["after;"]);
});

test("who leaves in the middle of a turn gets what was published before, and nothing after", async () => {
  const { fanout, endTurn } = build();
  const [stays, leaves] = [new Member(), new Member()];
  for (const member of [stays, leaves]) fanout.join("a", member);
  fanout.publish("a", "before");
  fanout.leave("a", leaves);
  expect(leaves.writes).toEqual(["before;"]);
  fanout.publish("a", "after");
  await endTurn();
  expect(leaves.writes).toEqual(["before;"]);
  expect(stays.writes.join("")).toBe("before;after;");
});

test("leaving and joining again between two publications loses and repeats nothing", async () => {
  const { fanout, endTurn } = build();
  const member = new Member();
  fanout.join("a", member);
  fanout.publish("a", "1");
  fanout.leave("a", member);
  fanout.join("a", member);
  fanout.publish("a", "2");
  await endTurn();
  expect(member.writes.join("")).toBe("1;2;");
});

test("a flush before something else is sent keeps the order, and the turn goes on", async () => {
  const { fanout, endTurn } = build();
  const member = new Member();
  fanout.join("a", member);
  fanout.publish("a", "1");
  fanout.flush();
  member.deliver(Buffer.from("direct;"));
  fanout.publish("a", "2");
  await endTurn();
  await endTurn();
  expect(member.writes).toEqual(["1;", "direct;", "2;"]);
});

test("a topic that nobody has joined costs nothing, nor one that all have left", async () => {
  const { fanout, framings, endTurn } = build();
  const member = new Member();
  fanout.publish("a", "nobody");
  fanout.join("a", member);
  fanout.leave("a", member);
  fanout.leave("a", member);
  fanout.leave("never", member);
  fanout.publish("a", "nobody again");
  await endTurn();
  expect([framings, member.writes]).toEqual([[], []]);
});

test("[P4] a member that is ended while it is written to leaves at once, and the others get everything", async () => {
  const { fanout, endTurn } = build();
  const [first, slow, last] = [new Member(), new Member(), new Member()];
  for (const member of [first, slow, last]) for (const topic of ["a", "b"]) fanout.join(topic, member);
  slow.onDeliver = () => {
    fanout.leave("a", slow);
    fanout.leave("b", slow);
  };
  fanout.publish("a", "1");
  fanout.publish("b", "2");
  await endTurn();
  fanout.publish("a", "3");
  await endTurn();
  expect(slow.writes).toEqual(["1;2;"]);
  for (const member of [first, last]) expect(member.writes).toEqual(["1;2;", "3;"]);
});

test("what is published while members are written to goes out with the next turn, once", async () => {
  const { fanout, endTurn } = build();
  const [first, second] = [new Member(), new Member()];
  fanout.join("a", first);
  fanout.join("a", second);
  let published = false;
  first.onDeliver = () => {
    if (!published) fanout.publish("a", "2");
    published = true;
  };
  fanout.publish("a", "1");
  await endTurn();
  await endTurn();
  for (const member of [first, second]) expect(member.writes.join("")).toBe("1;2;");
});
