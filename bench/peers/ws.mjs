/** The `ws` peer: every WebSocket client is a subscriber, a POST goes to all of them by the loop of ws's own README. */
import { createServer } from "node:http";

import { WebSocket, WebSocketServer } from "ws";

import { readJson } from "./read-json.mjs";

const server = createServer((request, response) => {
  readJson(request, ({ data }) => {
    const text = JSON.stringify(data);
    for (const client of sockets.clients) if (client.readyState === WebSocket.OPEN) client.send(text);
    response.setHeader("Content-Length", 2);
    response.end("{}");
  });
});
const sockets = new WebSocketServer({ server });
server.listen(0, "127.0.0.1", 4096, () => process.stdout.write(`PORT ${server.address().port}\n`));
process.stdin.on("end", () => process.exit()).resume();
