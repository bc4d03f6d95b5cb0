/** TLS: what keeps a server from starting, who gets in with which version, and a certificate that is renewed while clients are connected. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, writeFileSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import {
  certificateFolder,
  type CertificateFiles,
  expiryOf,
  makeCertificate,
} from "../../test/support/certificates.ts";
import { leftOut } from "../../test/support/one-process.ts";
import { KINDS, POLL } from "../../test/support/peer/transports.ts";
import { targetOf } from "../../test/contracts/transport.ts";
import { type Flags, startServer, type TestServer } from "../../test/support/server.ts";

const NPM_WS = join(import.meta.dir, "../../../../e2e/support/npm-ws.mjs");

const { folder, remove } = certificateFolder();
let first: CertificateFiles;
let second: CertificateFiles;
const servers: TestServer[] = [];

beforeAll(() => {
  first = makeCertificate(folder, "first");
  second = makeCertificate(folder, "second");
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});
afterAll(remove);

async function start(flags: Flags): Promise<TestServer> {
  const server = await startServer(flags);
  servers.push(server);
  return server;
}

const flagsOf = ({ cert, key }: CertificateFiles): Flags => ({ "tls-cert": cert, "tls-key": key });

const portOf = ({ url }: Pick<TestServer, "url">): number => Number(new URL(url).port);

/** The name in the certificate that is shown. */
async function nameShown(port: number): Promise<string> {
  const socket = await handshake(port);
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}

function handshake(port: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => resolve(socket));
    socket.once("error", reject);
  });
}

describe("[TL-2] what keeps a server from starting", () => {
  const cases: [string, () => Flags, string][] = [
    [
      "a file that is not there",
      () => ({ ...flagsOf(first), "tls-cert": join(folder, "no.crt") }),
      "tlsCert: the file cannot be read",
    ],
    [
      "a key of another certificate",
      () => ({ "tls-cert": first.cert, "tls-key": second.key }),
      "is not the one of the certificate",
    ],
    [
      "a key in place of the certificate",
      () => ({ "tls-cert": first.key, "tls-key": first.key }),
      "holds no certificate",
    ],
    [
      "a certificate in place of the key",
      () => ({ "tls-cert": first.cert, "tls-key": first.cert }),
      "holds no private key",
    ],
    ["one without the other", () => ({ "tls-cert": first.cert }), "tlsCert (--tls-cert): has no tlsKey"],
    [
      "a listener that wants TLS, and no certificate",
      () => ({ "tcp-listeners": JSON.stringify([{ port: 0, framing: "json", tls: true }]) }),
      "tcpListeners[0].tls",
    ],
  ];
  for (const [name, flags, words] of cases) {
    test(name, async () => {
      expect(startServer(flags())).rejects.toThrow(words);
    });
  }

  test("an encrypted key needs its passphrase, and no other", async () => {
    const locked = makeCertificate(folder, "locked", { passphrase: "open-sesame" });
    expect(startServer(flagsOf(locked))).rejects.toThrow("is encrypted");
    expect(startServer({ ...flagsOf(locked), "tls-key-passphrase": "close" })).rejects.toThrow("tlsKeyPassphrase");
    const server = await start({ ...flagsOf(locked), "tls-key-passphrase": "open-sesame" });
    expect(await nameShown(portOf(server))).toBe("locked");
  });
});

describe("[TL-1] who gets in", () => {
  test("fetch, curl and npm ws with the certificate; nobody without TLS", async () => {
    const server = await start(flagsOf(first));
    expect(server.url).toStartWith("https://");
    const { ca = "" } = server;
    expect((await fetch(`${server.url}/readyz`, { tls: { ca } })).status).toBe(200);
    expect(fetch(`${server.url}/readyz`)).rejects.toThrow();
    const curl = Bun.spawn(["curl", "-sS", "--cacert", first.cert, `${server.url}/readyz`], { stdout: "pipe" });
    expect(await new Response(curl.stdout).text()).toContain("ready");
    expect(await curl.exited).toBe(0);
    // Under Node.js: what the runtime gives for this package is its own.
    const words = [NPM_WS, `${server.url.replace("https", "wss")}/ws?channel=news`, JSON.stringify({ ca })];
    const socket = Bun.spawn(["node", ...words], { stdin: "pipe", stdout: "pipe" });
    const reader = socket.stdout.getReader();
    let said = "";
    const until = async (text: string): Promise<void> => {
      while (!said.includes(text)) said += Buffer.from((await reader.read()).value ?? []).toString();
    };
    await until("subscribed");
    await server.publish("news", "hello");
    await until(String.raw`\"data\":\"hello\"`);
    socket.kill();
    await socket.exited;
    // Plain HTTP on a port with TLS gets no answer, and its connection is closed.
    expect(fetch(server.url.replace("https", "http"))).rejects.toThrow();
  });

  test("TLS 1.2 and 1.3, nothing older", async () => {
    const server = await start(flagsOf(first));
    for (const port of [portOf(server), ...server.tcpPorts]) {
      const shown = await Promise.all(
        ["-tls1", "-tls1_1", "-tls1_2", "-tls1_3"].map(async (version) => {
          const words = ["s_client", "-connect", `127.0.0.1:${port}`, version, "-cipher", "DEFAULT:@SECLEVEL=0"];
          const child = Bun.spawn(["openssl", ...words], { stdin: new Blob(["\n"]), stdout: "pipe", stderr: "ignore" });
          return /New, (TLSv[\d.]+|\(NONE\))/.exec(await new Response(child.stdout).text())?.[1];
        }),
      );
      expect(shown).toEqual(["(NONE)", "(NONE)", "TLSv1.2", "TLSv1.3"]);
    }
  });

  test("[TL-3] ports of raw TCP, all or some of them; a plain one says so to whoever tries", async () => {
    const listeners = [
      { port: 0, framing: "json", tls: true },
      { port: 0, framing: "json" },
    ];
    const server = await start({ ...flagsOf(first), "tcp-tls": "false", "tcp-listeners": JSON.stringify(listeners) });
    const [plain = 0, secure = 0, alsoPlain = 0] = server.tcpPorts;
    expect(await nameShown(secure)).toBe("first");
    for (const port of [plain, alsoPlain]) {
      const socket = connectPlain({ port, host: "127.0.0.1" });
      // How a handshake begins.
      socket.write(Buffer.from([0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0x00]));
      let text = "";
      for await (const chunk of socket) text += String(chunk);
      expect(text).toContain("this port speaks no TLS");
    }
  });
});

/** The same names of files, with another certificate in them. */
function place(files: CertificateFiles): CertificateFiles {
  const own = { cert: join(folder, "live.crt"), key: join(folder, "live.key") };
  copyFileSync(files.cert, own.cert);
  copyFileSync(files.key, own.key);
  return own;
}

describe("[TL-5] a certificate that is renewed", () => {
  test("new connections see it, on every port; those that are open go on, and everybody gets everything", async () => {
    const files = place(first);
    const server = await start({ ...flagsOf(files), "channels-publish": "everybody" });
    const before = targetOf(server);
    // A poll is over with its answer; the next one comes by a connection of its own.
    const lasting = KINDS.filter((kind) => kind !== POLL);
    const old = await Promise.all(lasting.map((kind) => kind.open(before, { subscribe: [{ channel: "a" }] })));
    const ports = [portOf(server), ...server.tcpPorts];
    for (let round = 0; round < 3; round++) {
      const [name, next] = round % 2 === 0 ? (["second", second] as const) : (["first", first] as const);
      place(next);
      // Others are connecting meanwhile: none of them is refused.
      const knocks = Promise.all(Array.from({ length: 50 }, (_, at) => nameShown(ports[at % 2] ?? 0)));
      await server.reload();
      await knocks;
      for (const port of ports) expect(await nameShown(port)).toBe(name);
      const young = await Promise.all(
        KINDS.map((kind) => kind.open(targetOf(server), { subscribe: [{ channel: "a", since: "earliest" }] })),
      );
      for (let count = 0; count < 10; count++) await server.publish("a", round * 10 + count);
      const wanted = Array.from({ length: (round + 1) * 10 }, (_, at) => at + 1);
      for (const peer of [...old, ...young]) {
        expect(await peer.offsets("a", wanted.length)).toEqual(wanted);
        expect(peer.isEnded).toBeFalse();
      }
      for (const peer of young) peer.drop();
    }
    // What they say is heard, too, and a stop tells all of them.
    const [webSocket] = KINDS;
    const [peer] = old;
    if (webSocket === undefined || peer === undefined) throw new Error("there are no transports");
    expect(await webSocket.say(before, peer, { type: "publish", channel: "a", data: 1 })).toMatchObject({ offset: 31 });
    await server.stop();
    servers.length = 0;
    for (const one of old) expect(one.goodbye).toMatchObject({ code: 4200 });
  }, 60_000);

  test("a request on a connection that was open before is answered, as the last one there", async () => {
    const files = place(first);
    const server = await start(flagsOf(files));
    const socket = await handshake(portOf(server));
    let text = "";
    socket.on("data", (data: Buffer) => (text += data.toString()));
    const closed = new Promise((resolve) => socket.once("close", resolve));
    const ask = (): boolean => socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    ask();
    while (!text.includes("200 OK")) await Bun.sleep(5);
    place(second);
    await server.reload();
    text = "";
    ask();
    await closed;
    expect(text).toContain("200 OK");
    expect(text.toLowerCase()).toContain("connection: close");
  });

  test("one that cannot be used changes nothing, and says why", async () => {
    const files = place(first);
    const server = await start(flagsOf(files));
    copyFileSync(second.key, files.key);
    expect(server.reload({ "channels-history-size": "7" })).rejects.toThrow("is not the one of the certificate");
    writeFileSync(files.cert, "nonsense");
    expect(server.reload()).rejects.toThrow("holds no certificate");
    expect(await nameShown(portOf(server))).toBe("first");
    place(second);
    await server.reload();
    expect(await nameShown(portOf(server))).toBe("second");
  });

  test.skipIf(leftOut("ports"))("nobody else can have the port, not even for the moment of the change", async () => {
    const files = place(first);
    const server = await start(flagsOf(files));
    const share = (): void => {
      Bun.serve({ port: portOf(server), hostname: "127.0.0.1", reusePort: true, fetch: () => new Response("stolen") });
    };
    expect(share).toThrow();
    place(second);
    await server.reload();
    expect(share).toThrow();
    expect(await nameShown(portOf(server))).toBe("second");
  });

  test("ports do not begin or stop to speak TLS: that takes a restart", async () => {
    const server = await start({});
    await server.reload(flagsOf(first));
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  });
});

test("[TL-4] a certificate that is over is served, with a warning that names the date", async () => {
  const over = makeCertificate(folder, "over", { isOver: true });
  const warnings: unknown[] = [];
  const { readTls, warnOfExpiry } = await import("./tls.ts");
  const log = {
    debug() {},
    info() {},
    error() {},
    warn: (event: string, fields?: object) => warnings.push({ event, ...fields }),
  };
  warnOfExpiry(readTls({ tlsCert: over.cert, tlsKey: over.key, tlsKeyPassphrase: undefined }), Date, log);
  expect(warnings).toMatchObject([{ event: expect.stringContaining("has expired"), expires: expiryOf(over.cert) }]);
  const server = await start(flagsOf(over));
  expect(await nameShown(portOf(server))).toBe("over");
});
