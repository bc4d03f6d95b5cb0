import { describe, expect, test } from "bun:test";
import type { Publication } from "../ports/broker.ts";
import { BareProtocol, dataProtocol } from "./bare.ts";

function publicationOf(data: string, encoding?: "base64"): Publication {
  return {
    offset: 7,
    time: 1,
    data,
    encoding,
    name: "n",
    user: "bob",
    session: undefined,
    exclude: undefined,
  };
}

const raw = new BareProtocol("a", true);
const text = new BareProtocol("a", false);
const data = dataProtocol(8);

describe("out", () => {
  test("[RW-2] a string comes as its text, any other value as JSON text", () => {
    for (const protocol of [raw, text, data]) {
      const frameOf = protocol.framer("a");
      const frames = ['"hi \\"you\\"\\n\\u00e9"', '""', "12", "null", "true", '{"a":1.0}', '["x"]'].map((json) =>
        frameOf(publicationOf(json), "e"),
      );
      expect(frames).toEqual(['hi "you"\né', "", "12", "null", "true", '{"a":1.0}', '["x"]']);
    }
  });

  test("[BI-2] bytes come as bytes where the form carries them, else as base64", () => {
    const publication = publicationOf('"AP8="', "base64");
    expect(raw.framer("a")(publication, "e")).toEqual(Buffer.from([0, 255]));
    expect(text.framer("a")(publication, "e")).toBe("AP8=");
    expect(data.framer("a")(publication, "e")).toBe("AP8=");
  });

  test("[RW-2] what the server says to one session comes in the same way, and nothing else does", () => {
    expect(raw.encode({ type: "message", data: "hi" })).toBe("hi");
    expect(raw.encode({ type: "message", data: { a: 1 } })).toBe('{"a":1}');
    expect(raw.encode({ type: "message", data: "AP8=", encoding: "base64" })).toEqual(Buffer.from([0, 255]));
    expect(raw.encode({ type: "connected", session: "s", ping: 1 })).toBeNull();
    expect(raw.encode({ type: "disconnect", code: 4200, reason: "r", reconnect: true })).toBeNull();
    expect(raw.encodeHistory({ channel: "a", epoch: "e", offset: 0, publications: [], more: false })).toBeNull();
  });

  test("forms that carry the same bytes have the same name, others another", () => {
    expect(new BareProtocol("b", true).form).toBe(raw.form);
    expect(new Set([raw.form, text.form, data.form]).size).toBe(3);
  });
});

describe("in", () => {
  test("[RW-3] text becomes a string, whatever it looks like", () => {
    for (const sent of ["hi", "", '{"type":"subscribe","channel":"x"}', "12", 'a"\\\n\u0000é🎉']) {
      expect(raw.decode(sent)).toEqual({ type: "bare", channel: "a", data: JSON.stringify(sent) });
      expect(raw.framer("a")(publicationOf(JSON.stringify(sent)), "e")).toBe(sent);
    }
  });

  test("[BI-3] bytes of every length and value become base64, and bytes again", () => {
    const all = Buffer.from(Array.from({ length: 600 }, (_, at) => at % 256));
    for (let length = 0; length <= 300; length++) {
      const sent = all.subarray(length, 2 * length);
      const message = raw.decode(new Uint8Array(sent));
      expect(message).toMatchObject({ type: "bare", channel: "a", encoding: "base64" });
      expect(raw.framer("a")(publicationOf(message.data, "base64"), "e")).toEqual(sent);
    }
  });
});
