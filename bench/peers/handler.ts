/** The least a Bun server can do for a publish API: read JSON, answer JSON. */
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  development: false,
  async fetch(request) {
    const body = (await request.json()) as { channel: string };
    return Response.json({
      results: [{ channel: body.channel, epoch: "bench", offset: 1, online: 0, subscribers: 0 }],
    });
  },
});
process.stdout.write(`PORT ${server.port}\n`);
process.stdin.on("end", () => process.exit()).resume();
