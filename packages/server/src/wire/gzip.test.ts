import { expect, test } from "bun:test";
import { constants, gunzipSync } from "node:zlib";
import { EMPTY_TALLY, GZIP_HEADER, gzipBlock, gzipTrailer, takesGzip, tallied } from "./gzip.ts";

const LENGTHS = [0, 1, 1023, 1024, 65_535, 65_536, 200_000];

/** Bytes that deflate well, or not at all. */
function bytesOf(length: number, isNoise: boolean): Uint8Array {
  return isNoise
    ? crypto.getRandomValues(new Uint8Array(length > 65_536 ? 65_536 : length))
    : new Uint8Array(length).fill(97);
}

/** What a reader has that was given so much of a stream. */
function readable(stream: readonly Uint8Array[]): Buffer {
  return gunzipSync(Buffer.concat(stream), { finishFlush: constants.Z_SYNC_FLUSH });
}

for (const isNoise of [false, true]) {
  test(`[CM-2] every block of ${isNoise ? "noise" : "text"} can be read as soon as it is there, and the whole is a gzip file`, () => {
    const stream = [GZIP_HEADER];
    const plain: Uint8Array[] = [];
    let tally = EMPTY_TALLY;
    for (const length of LENGTHS) {
      const bytes = bytesOf(length, isNoise);
      plain.push(bytes);
      tally = tallied(tally, bytes);
      stream.push(gzipBlock(bytes));
      expect(readable(stream).equals(Buffer.concat(plain))).toBeTrue();
    }
    // Without its trailer it is no whole file: a reader notices that it was cut.
    expect(() => gunzipSync(Buffer.concat(stream))).toThrow();
    stream.push(gzipTrailer(tally));
    expect(gunzipSync(Buffer.concat(stream)).equals(Buffer.concat(plain))).toBeTrue();
  });
}

test("[CM-2] the trailer vouches for what was sent: other bytes or another length are found out", () => {
  const bytes = bytesOf(5000, false);
  for (const wrong of [bytesOf(4999, false), Buffer.concat([bytes.subarray(1), Buffer.from("b")])]) {
    const stream = [GZIP_HEADER, gzipBlock(bytes), gzipTrailer(tallied(EMPTY_TALLY, wrong))];
    expect(() => gunzipSync(Buffer.concat(stream))).toThrow();
  }
  expect(gunzipSync(Buffer.concat([GZIP_HEADER, gzipTrailer(EMPTY_TALLY)]))).toHaveLength(0);
});

// Go's reader hands on what it has at an empty stored block and not before: behind Caddy, which asks for gzip by itself, short turns stayed on the way.
test("[CM-2] every block ends with an empty one, as zlib ends a flush", () => {
  for (const length of [1, 1023, 1024, 70_000]) {
    const block = gzipBlock(bytesOf(length, length % 2 === 0));
    expect(Buffer.from(block.subarray(-4)).toString("hex")).toBe("0000ffff");
  }
});

test("[CM-3] a block stands in any stream: it refers to nothing before it", () => {
  const shared = gzipBlock(Buffer.from("shared ".repeat(500)));
  for (const before of ["", "shared ".repeat(500), "x".repeat(70_000)]) {
    const stream = [GZIP_HEADER, gzipBlock(Buffer.from(before)), shared];
    expect(readable(stream).toString()).toBe(before + "shared ".repeat(500));
  }
});

test("[CM-2] short turns are stored: ten bytes more, and no work", () => {
  for (const length of [0, 1, 1023]) expect(gzipBlock(bytesOf(length, false))).toHaveLength(length + 10);
  expect(gzipBlock(bytesOf(1024, false)).length).toBeLessThan(100);
});

test("[CM-1] gzip is used for those who take it and nobody else", () => {
  const taken = [
    "gzip",
    "GZIP",
    "deflate, gzip",
    "gzip;q=0.5",
    "br;q=1, gzip;q=0.001",
    "*",
    "br, *;q=0.1",
    " gzip ; q=1",
  ];
  // What is named counts before what is meant by the star, wherever it stands (RFC 9110, 12.5.3).
  const takenDespite = ["*;q=0, gzip", "identity, *;q=0, gzip;q=0.2"];
  const refused = [null, "", "identity", "deflate, br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzipped", "*, gzip;q=0"];
  for (const header of [...taken, ...takenDespite]) expect([header, takesGzip(header)]).toEqual([header, true]);
  for (const header of refused) expect([header, takesGzip(header)]).toEqual([header, false]);
});
