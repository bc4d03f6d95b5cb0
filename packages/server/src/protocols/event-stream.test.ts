import { expect, test } from "bun:test";
import { decodeCursor, encodeCursor } from "@longwire/protocol";
import type { Publication } from "../ports/broker.ts";
import { dataProtocol } from "./bare.ts";
import { eventStreamProtocol } from "./event-stream.ts";
import { nativeProtocol } from "./native.ts";

const native = nativeProtocol(16);
const alone = eventStreamProtocol(native, { named: false });
const several = alone.several ?? alone;

const publication: Publication = {
  offset: 7,
  time: 0,
  data: '"x"',
  encoding: undefined,
  name: "greeting",
  user: "bob",
  session: undefined,
  exclude: undefined,
};

const idOf = (text: unknown): string | undefined => /^id: (.*)$/m.exec(String(text))?.[1];
const dataOf = (text: unknown): unknown => JSON.parse(/^data: (.*)$/m.exec(String(text))?.[1] ?? "null");

test("[ES-3] with one channel each publication's event carries the cursor that goes on behind it", () => {
  const event = alone.framer("room:1")(publication, "epoch");
  expect(decodeCursor(idOf(event) ?? "")).toEqual(new Map([["room:1", { epoch: "epoch", offset: 7 }]]));
  expect(dataOf(event)).toEqual({
    type: "message",
    channel: "room:1",
    offset: 7,
    data: "x",
    name: "greeting",
    user: "bob",
  });
});

test("[ES-3] `subscribed` carries it too: whoever is cut before the first publication goes on from there", () => {
  const frame = { type: "subscribed", channel: "a", epoch: "e", offset: 3, recovered: true } as const;
  expect(idOf(alone.encode(frame))).toBe(encodeCursor(new Map([["a", { epoch: "e", offset: 3 }]])));
});

test("[ES-3] [PU-7] an unnumbered publication moves no cursor", () => {
  expect(idOf(alone.framer("a")({ ...publication, offset: 0 }, "e"))).toBeUndefined();
  expect(idOf(alone.encode({ type: "message", data: 1 }))).toBeUndefined();
});

test("[ES-4] with several no event carries one, and the transport is told to write it apart", () => {
  expect(idOf(several.framer("a")(publication, "e"))).toBeUndefined();
  const subscribed = { type: "subscribed", channel: "a", epoch: "e", offset: 3, recovered: true } as const;
  expect(idOf(several.encode(subscribed))).toBeUndefined();
  expect([alone.cursorApart, several.cursorApart, several.several]).toEqual([undefined, true, undefined]);
});

test("[P6] what differs in bytes differs in form, and nothing else does", () => {
  const forms = [native, dataProtocol(16)].flatMap((inner) =>
    [true, false].flatMap((named) => {
      const protocol = eventStreamProtocol(inner, { named });
      return [protocol.form, protocol.several?.form];
    }),
  );
  expect(new Set([...forms, native.form]).size).toBe(9);
  expect(eventStreamProtocol(native, { named: false }).form).toBe(alone.form);
});

test("[ES-7] `named` gives publications their names as types, in every way they come", () => {
  const named = eventStreamProtocol(native, { named: true });
  for (const protocol of [named, named.several ?? named]) {
    expect(String(protocol.framer("a")(publication, "e"))).toContain("event: greeting\n");
    expect(protocol.encode({ type: "message", data: 1, name: "alone" })).toContain("event: alone\n");
    expect(protocol.encode({ type: "ping" })).not.toContain("event:");
    const forged = protocol.framer("a")({ ...publication, name: "a\ndata: evil" }, "e");
    expect(String(forged)).not.toMatch(/^(event|data: evil)/m);
  }
  expect(String(alone.framer("a")(publication, "e"))).not.toContain("event:");
});

test("[ES-2] a goodbye that names `after` sets the time to come back, before the page hears of it", () => {
  const goodbye = { type: "disconnect", code: 4200, reason: "away", reconnect: true } as const;
  expect(alone.encode({ ...goodbye, after: 1500 })).toStartWith("retry: 1500\n\ndata: ");
  expect(alone.encode(goodbye)).not.toContain("retry");
});

test("[ES-8] bare data has no greeting and no goodbye, and still its cursor", () => {
  const data = eventStreamProtocol(dataProtocol(16), { named: false });
  expect(data.encode({ type: "connected", session: "s", ping: 1 })).toBeNull();
  const subscribed = { type: "subscribed", channel: "a", epoch: "e", offset: 3, recovered: true } as const;
  const cursor = encodeCursor(new Map([["a", { epoch: "e", offset: 3 }]]));
  expect(data.encode(subscribed)).toBe(`id: ${cursor}\n\n`);
  expect(data.encode({ type: "disconnect", code: 4200, reason: "", reconnect: true, after: 9 })).toBe("retry: 9\n\n");
  const text = String(data.framer("a")({ ...publication, data: JSON.stringify("two\nlines\r\ndata: x") }, "e"));
  expect(text).toEndWith("\ndata: two\ndata: lines\ndata: data: x\n\n");
});

test("[ES-1] JSON frames stay in one line whatever is published", () => {
  const odd = { ...publication, data: JSON.stringify("\r\n\r\nid: 666\n\u2028\0") };
  const text = String(alone.framer("a")(odd, "e"));
  expect(text.trimEnd().split(/\r\n|\r|\n/)).toHaveLength(2);
});
