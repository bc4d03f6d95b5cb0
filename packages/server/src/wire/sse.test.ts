import { expect, test } from "bun:test";
import { COMMENT, eventText, idText, retryText } from "./sse.ts";

interface Event {
  readonly type: string;
  readonly data: string;
  readonly id: string;
}

/** An EventSource without a network (WHATWG HTML, 9.2.6): what a browser makes of a text. */
function read(text: string): { events: Event[]; id: string; retry: number | undefined } {
  const events: Event[] = [];
  let id = "";
  let retry: number | undefined;
  let type = "";
  let data: string[] = [];
  // What stands behind the last line break is no line yet.
  for (const line of text.split(/\r\n|\r|\n/).slice(0, -1)) {
    if (line === "") {
      if (data.length > 0) events.push({ type: type === "" ? "message" : type, data: data.join("\n"), id });
      type = "";
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") data.push(value);
    else if (field === "event") type = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) retry = Number(value);
  }
  return { events, id, retry };
}

test("[ES-1] an event is its data, and text without line breaks arrives as it was", () => {
  for (const data of [
    "{}",
    "",
    " ",
    "  two spaces before",
    "a: b",
    ":",
    "id: 9",
    "\u2028\u2029\u0085\v\f",
    "\0",
    "é🎉",
    "\uFEFFx",
  ]) {
    expect(read(eventText(data)).events).toEqual([{ type: "message", data, id: "" }]);
  }
});

test("[ES-1] no field can be made by data: every kind of line break begins a further line of it", () => {
  for (const lineBreak of ["\n", "\r", "\r\n"]) {
    for (const smuggled of ["id: 666", "event: evil", "retry: 1", "data: x", ":", "", "\0"]) {
      const text = eventText(`a${lineBreak}${smuggled}${lineBreak}${lineBreak}b`, { id: "7", event: "good" });
      const { events, id, retry } = read(text);
      expect(events).toEqual([{ type: "good", data: `a\n${smuggled}\n\nb`, id: "7" }]);
      expect([id, retry]).toEqual(["7", undefined]);
    }
  }
});

test("[ES-1] data that begins or ends with line breaks is one event with them", () => {
  for (const data of ["\n", "\n\n", "a\n", "\na", "\n\ndata: x\n\n"]) {
    expect(read(eventText(data) + eventText("next")).events.map((event) => event.data)).toEqual([data, "next"]);
  }
  expect(read(eventText("\n\r\r\n")).events).toEqual([{ type: "message", data: "\n\n\n", id: "" }]);
});

test("[ES-7] a name gives the event its type, one with a line break gives none", () => {
  expect(read(eventText("x", { event: "greeting" })).events[0]?.type).toBe("greeting");
  expect(read(eventText("x", { event: "a: b" })).events[0]?.type).toBe("a: b");
  for (const event of ["a\nid: 666", "a\rdata: evil", "a\r\n\r\ndata: evil", "\n"]) {
    expect(read(eventText("x", { event }))).toEqual({
      events: [{ type: "message", data: "x", id: "" }],
      id: "",
      retry: undefined,
    });
  }
  // No line break to an EventSource, so no end of the field either.
  expect(read(eventText("x", { event: "a\u2028b\u0085c" })).events[0]?.type).toBe("a\u2028b\u0085c");
});

test("[ES-3] the id goes with its event, [ES-4] and alone moves the cursor without one", () => {
  expect(read(eventText("x", { id: "abc" })).events).toEqual([{ type: "message", data: "x", id: "abc" }]);
  expect(read(eventText("x", { id: "abc" }) + idText("def"))).toMatchObject({ events: [{ data: "x" }], id: "def" });
  // Cut before its end, an event is none and leaves no trace.
  const cut = eventText("x", { id: "abc" });
  for (let length = 1; length < cut.length; length++) expect(read(cut.slice(0, length)).events).toEqual([]);
});

test("[ES-2] [ES-6] the time to come back, and a heartbeat that nobody sees", () => {
  expect(read(retryText(1500.4))).toEqual({ events: [], id: "", retry: 1500 });
  expect(read(`${eventText("a")}${COMMENT}${eventText("b")}`).events).toHaveLength(2);
});
