import { expect, test } from "bun:test";
import { draftOf } from "../../../test/support/engine.ts";
import { eventMessage, readBody, readMessage, tailOf } from "./messages.ts";

const whole = {
  data: '"eA=="',
  encoding: "base64" as const,
  name: "a name\nof two lines",
  user: "bob",
  session: "s 1",
  exclude: "s2",
  keep: true,
};

test("a publication comes back as it was, from a message and from the stream", () => {
  for (const draft of [whole, draftOf("plain"), draftOf("", { name: "" }), { data: "\n \u0000 p 1 2\n", keep: true }]) {
    const { data, encoding, name, user, session, exclude } = { encoding: undefined, ...draft };
    const body = `1700000000000 ${tailOf(draft, "mark00.17")}`;
    const publication = { offset: 12, time: 1_700_000_000_000, data, encoding, name, user, session, exclude };
    expect(readMessage(Buffer.from(`pEp0ch_-A 12 ${body}`))).toEqual({
      kind: "publication",
      epoch: "Ep0ch_-A",
      id: "mark00.17",
      publication,
    } as never);
    expect(readBody(12, body)).toEqual({ id: "mark00.17", publication } as never);
  }
});

test("joins and leaves carry the member", () => {
  const member = { session: "s1", user: "bob" };
  expect(readMessage(Buffer.from(eventMessage("join", member)))).toEqual({ kind: "join", member });
  expect(readMessage(Buffer.from(eventMessage("leave", member)))).toEqual({ kind: "leave", member });
});

test("what a newer version says is passed over", () => {
  for (const text of ["", "z", "?x 1 2"]) expect(readMessage(Buffer.from(text))).toBeUndefined();
});
