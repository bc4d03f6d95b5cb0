/**
 * A client in a runtime of its own: `<runtime> sdk-child.mjs <url of longwire.mjs> <url of the gateway> <transports, or "all"> [<module
 * that exports a WebSocket>]`. It subscribes, publishes, gets its own publication back, says over what in a line of JSON, and ends by itself
 * once it has disconnected: nothing may keep the process.
 */
import process from "node:process";

const [, , sdk, url, transports, sockets] = process.argv;
const { connect } = await import(sdk);
const client = connect(url, {
  ...(transports !== "all" && { transports: transports.split(",") }),
  ...(sockets && { WebSocket: (await import(sockets)).WebSocket }),
});
const room = client.channel("demo:runtimes").subscribe();
const mine = `${process.pid} ${transports}`;
const got = new Promise((resolve) => {
  room.on("message", ({ data }) => data === mine && resolve());
});
await room.ready();
await room.publish(mine);
await got;
process.stdout.write(`${JSON.stringify({ transport: client.state.transport })}\n`);
client.disconnect();
