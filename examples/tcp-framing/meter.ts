/**
 * A meter, as it would be built into a device: it sends three readings and prints what it is told.
 *
 *     npx bun examples/tcp-framing/meter.ts [port]
 */
import { connect } from "node:net";
import { framing } from "./stx-framing.ts";

const socket = connect(Number(process.argv[2] ?? 9100), "127.0.0.1");
for (const reading of ["21.5", "21.7", "21.6"]) socket.write(framing.encode(reading));

let received: Uint8Array = new Uint8Array(0);
socket.on("data", (bytes: Buffer) => {
  received = Buffer.concat([received, bytes]);
  for (let length = lengthOf(received); length > 0; length = lengthOf(received)) {
    process.stdout.write(`${framing.decode(received.subarray(0, length))}\n`);
    received = received.subarray(length);
  }
});

function lengthOf(bytes: Uint8Array): number {
  if (bytes.length === 0) return 0;
  const length = framing.input(bytes, 0);
  return length > bytes.length ? 0 : length;
}
