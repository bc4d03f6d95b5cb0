/**
 * The `ws` package on Node.js, as its users have it; driven by `npm-ws.ts`. The arguments are an address and the options of the constructor,
 * as JSON, with `protocols` among them. Lines of JSON come in (`{text}` or `{base64}`, `{close: true}`) and go out (`{extensions, protocol}`, `{text}` or `{base64}`, `{code, reason, bytes}`).
 */
import { createInterface } from "node:readline";
import { WebSocket } from "ws";

const [address = "", given = "{}"] = process.argv.slice(2);
const { protocols = [], ...options } = JSON.parse(given);
const socket = new WebSocket(address, protocols, options);
let wire;

function tell(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

socket.on("upgrade", (response) => {
  wire = response.socket;
});
socket.on("open", () => tell({ extensions: socket.extensions, protocol: socket.protocol }));
socket.on("message", (data, isBinary) => {
  const bytes = Buffer.from(data);
  tell(isBinary ? { base64: bytes.toString("base64") } : { text: bytes.toString() });
});
socket.on("close", (code, reason) => {
  tell({ code, reason: reason.toString(), bytes: wire?.bytesRead ?? 0 });
  process.exit();
});
socket.on("error", (error) => tell({ error: error.message }));

const lines = createInterface({ input: process.stdin });
// The test has ended, however it did.
lines.on("close", () => process.exit());
lines.on("line", (line) => {
  const { text, base64, close } = JSON.parse(line);
  if (close === true) socket.close();
  else socket.send(text ?? Buffer.from(base64, "base64"));
});
