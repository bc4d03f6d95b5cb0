/** The Socket.IO peer: every client of the default namespace is a subscriber, a POST is emitted to all of them. */
import { createServer } from "node:http";

import { Server } from "socket.io";

import { readJson } from "./read-json.mjs";

const server = createServer();
// Its heartbeats are put off beyond the run: the load generator answers none and would count them.
const sockets = new Server(server, { pingInterval: 3_600_000, serveClient: false });
server.on("request", (request, response) => {
  if (request.url !== "/publish") return;
  readJson(request, ({ data }) => {
    sockets.emit("message", data);
    response.setHeader("Content-Length", 2);
    response.end("{}");
  });
});
server.listen(0, "127.0.0.1", 4096, () => process.stdout.write(`PORT ${server.address().port}\n`));
process.stdin.on("end", () => process.exit()).resume();
