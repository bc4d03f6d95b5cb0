import { expect, test } from "bun:test";
import { RecordingSink } from "../../test/support/engine.ts";
import { LocalPresence } from "./local-presence.ts";

test("[WK-9] an entry belongs to who has put it last", async () => {
  const sink = new RecordingSink();
  const presence = new LocalPresence(sink);
  await presence.put("a", { session: "s1", user: "bob" }, "one");
  await presence.put("a", { session: "s2", user: "eve" }, "one");
  await presence.put("b", { session: "s1", user: "bob" }, "one");
  await presence.put("a", { session: "s1", user: "bob" }, "two");
  expect([...presence.entriesOf("one")]).toEqual([
    { channel: "a", session: "s2" },
    { channel: "b", session: "s1" },
  ]);
  sink.events.length = 0;
  await presence.drop("a", "s1", "one");
  expect(await presence.count("a")).toEqual({ users: 2, sessions: 2 });
  expect(sink.events).toEqual([]);
  await presence.drop("a", "s1", "two");
  expect(sink.events).toMatchObject([{ type: "leave", member: { user: "bob" } }]);
});
