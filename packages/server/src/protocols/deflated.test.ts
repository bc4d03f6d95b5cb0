import { expect, test } from "bun:test";
import { inflateRawSync } from "node:zlib";
import type { Publication } from "../ports/broker.ts";
import { deflatedProtocol } from "./deflated.ts";
import { nativeProtocol } from "./native.ts";

const native = nativeProtocol(8);

function publicationOf(data: string, offset = 1): Publication {
  return {
    offset,
    time: 1,
    data: JSON.stringify(data),
    encoding: undefined,
    name: undefined,
    user: undefined,
    session: undefined,
    exclude: undefined,
  };
}

/** A publication whose native frame has so many bytes. */
function sized(bytes: number, filler = "x"): Publication {
  const empty = (native.framer("a")(publicationOf(""), "e") as string).length;
  return publicationOf(filler.repeat((bytes - empty) / Buffer.byteLength(filler)));
}

test("[CM-4] a publication of 1 KB and more comes as its native frame, deflated; a smaller one as text", () => {
  const deflated = deflatedProtocol(native);
  expect(deflated.form).not.toBe(native.form);
  const frameOf = deflated.framer("a");
  expect(frameOf(sized(1023), "e")).toBe(native.framer("a")(sized(1023), "e"));
  for (const publication of [sized(1024), sized(1026, "é"), sized(50_000, "🎉")]) {
    const frame = frameOf(publication, "e");
    expect(frame).toBeInstanceOf(Uint8Array);
    expect(inflateRawSync(frame as Uint8Array).toString()).toBe(native.framer("a")(publication, "e") as string);
  }
});

test("[CM-4] it is deflated once for all who ask, however they are reached", () => {
  const deflated = deflatedProtocol(native);
  const publication = sized(5000);
  const frame = deflated.framer("a")(publication, "e");
  expect(deflated.framer("a")(publication, "e")).toBe(frame);
  expect(deflated.framer("a")(sized(5000), "e")).not.toBe(frame);
});

test("[CM-4] what is kept for that has a bound, the oldest goes first", () => {
  const deflated = deflatedProtocol(native);
  const frameOf = deflated.framer("a");
  const publications = Array.from({ length: 8 }, () => sized(200_000));
  const frames = publications.map((publication) => frameOf(publication, "e"));
  // The newest first: whatever is made anew pushes out an older one.
  const isKept = publications.map((publication, at) => [publication, frames[at]] as const).toReversed();
  expect(isKept.slice(0, 4).map(([publication, frame]) => frameOf(publication, "e") === frame)).toEqual(
    Array.from({ length: 4 }, () => true),
  );
  expect(frameOf(publications[0] as Publication, "e")).not.toBe(frames[0]);
  // One that is larger than the bound is framed all the same.
  const huge = sized(2_000_000);
  expect(inflateRawSync(frameOf(huge, "e") as Uint8Array).length).toBe(2_000_000);
});

test("[CM-4] everything that is no publication stays text, and commands are read as ever", () => {
  const deflated = deflatedProtocol(native);
  const reason = "x".repeat(5000);
  const frame = deflated.encode({ type: "disconnect", code: 4200, reason, reconnect: true });
  expect(frame).toBe(native.encode({ type: "disconnect", code: 4200, reason, reconnect: true }));
  expect(deflated.decode('{"type":"ping"}')).toEqual({ type: "ping" });
});
