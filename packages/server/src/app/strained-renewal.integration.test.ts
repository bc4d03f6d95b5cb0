/** A certificate that is renewed while no descriptor is left: a process of its own, under `ulimit -n 200`. */
import { afterAll, expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { certificateFolder, makeCertificate } from "../../test/support/certificates.ts";
import { leftOut } from "../../test/support/one-process.ts";
import { freePort, type ServerProcess, spawnServer } from "../../test/support/server-process.ts";
import { connectTcp } from "../../test/support/tcp-client.ts";

const { folder, remove } = certificateFolder();
let server: ServerProcess | undefined;
const WAIT_MS = 60_000;

afterAll(async () => {
  await server?.remove();
  remove();
});

async function until(isSo: () => boolean, what: string): Promise<void> {
  for (let round = 0; !isSo(); round++) {
    if (round === 600) throw new Error(`${what}: ${server?.output()}`);
    await Bun.sleep(50);
  }
}

/** Says nothing. */
function knock(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  return socket;
}

test.skipIf(leftOut("descriptors"))(
  "[LM-2] every port accepts again, those that have no certificate too, and the next rush is held off as well",
  async () => {
    const first = makeCertificate(folder, "first");
    const second = makeCertificate(folder, "second");
    const current = { cert: join(folder, "current.crt"), key: join(folder, "current.key") };
    const install = (from: typeof first): void => {
      copyFileSync(from.cert, current.cert);
      copyFileSync(from.key, current.key);
    };
    install(first);
    const tcpPort = freePort();
    server = await spawnServer({
      engine: "memory",
      "tcp-port": String(tcpPort),
      "tcp-tls": "false",
      "tls-cert": current.cert,
      "tls-key": current.key,
      descriptors: "200",
    });
    const { output } = server;
    const port = Number(new URL(server.url).port);
    const count = (text: string): number => output().split(text).length - 1;

    // Not more than it takes: to read the certificate, and to open another port, some must be left.
    const knocks = Array.from({ length: 140 }, () => knock(port));
    for (let round = 0; count("accepts nobody") === 0 && round < 50; round++) {
      await Bun.sleep(150);
      knocks.push(knock(port));
    }
    expect(count("accepts nobody")).toBe(1);
    install(second);
    server.kill("SIGHUP");
    await until(() => count('"msg":"reloaded"') === 1, "it did not reload");
    for (const socket of knocks) socket.destroy();

    await until(() => count("accepts again") === count("accepts nobody"), "it did not go on");
    expect(output()).not.toContain("cannot stop accepting");
    await (await connectTcp(tcpPort)).request({ type: "subscribe", channel: "news" });
    const ca = await Bun.file(second.cert).text();
    expect((await fetch(`${server.url}/healthz`, { tls: { ca }, keepalive: false })).status).toBe(200);

    const stops = count("accepts nobody");
    const again = Array.from({ length: 400 }, () => knock(port));
    await until(() => count("accepts nobody") > stops, "the next rush was not held off");
    for (const socket of again) socket.destroy();
  },
  WAIT_MS,
);
