import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartupError } from "../base/failures.ts";
import { leftOut } from "../../test/support/one-process.ts";
import { openSocket } from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";

const folder = mkdtempSync(join(tmpdir(), "longwire-listeners-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const servers: TestServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

type Listener = Readonly<Record<string, unknown>>;

async function start(
  listeners: readonly Listener[],
  flags: Readonly<Record<string, string>> = {},
): Promise<TestServer> {
  const server = await startServer({
    "channels-publish": "everybody",
    "tcp-listeners": JSON.stringify(listeners),
    ...flags,
  });
  servers.push(server);
  return server;
}

async function refusal(
  listeners: readonly Listener[],
  flags: Readonly<Record<string, string>> = {},
): Promise<StartupError> {
  try {
    await start(listeners, flags);
  } catch (error) {
    if (error instanceof StartupError) return error;
    throw error;
  }
  throw new Error("it started");
}

function isOpen(port: number, host?: string): Promise<boolean> {
  return openSocket(port, host).then(
    (socket) => {
      socket.destroy();
      return true;
    },
    () => false,
  );
}

/** Holds a port while `run` runs. */
async function withTaken<T>(run: (port: number) => Promise<T>): Promise<T> {
  const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  try {
    return await run(taken.port);
  } finally {
    taken.stop(true);
  }
}

async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () =>
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } }),
  );
  for (const probe of probes) probe.stop(true);
  return probes.map(({ port }) => port);
}

describe("ports", () => {
  test("[TC-1] every listener has its port, in the order of the configuration", async () => {
    const server = await start([
      { port: 0, framing: "text", channel: "a" },
      { port: 0, framing: "json" },
    ]);
    expect(server.tcpPorts).toHaveLength(3);
    const [, text = 0, json = 0] = server.tcpPorts;
    const line = await openSocket(text);
    line.send("hello\n");
    expect(await line.readUntil("\n")).toBe("hello\n");
    const native = await openSocket(json);
    native.send('{"type":"ping","id":1}\n');
    expect(await native.readUntil('{"type":"pong","id":1}\n')).toContain("connected");
    line.destroy();
    native.destroy();
  });

  test("off opens none", async () => {
    expect((await start([], { "tcp-port": "off" })).tcpPorts).toEqual([]);
  });

  test.skipIf(leftOut("balancer"))(
    "[ST-3] a port in use is told with the flag to change, and nothing stays open",
    async () => {
      await withTaken(async (taken) => {
        const [port = 0, tcpPort = 0] = await freePorts(2);
        const main = await refusal([], { port: String(port), "tcp-port": String(taken) });
        expect(main.message).toBe(`tcpPort: 127.0.0.1:${taken} is in use by another program`);
        expect(main.advice).toContain(`--tcp-port ${taken + 1} or LONGWIRE_TCP_PORT`);
        const further = await refusal([{ port: taken, framing: "json" }], {
          port: String(port),
          "tcp-port": String(tcpPort),
        });
        expect(further.message).toContain(`tcpListeners[0].port: 127.0.0.1:${taken} is in use`);
        for (const closed of [port, tcpPort]) expect(await isOpen(closed)).toBe(false);
        // The same ports can be had at once.
        const server = await start([], { port: String(port), "tcp-port": String(tcpPort) });
        expect(server.tcpPorts).toEqual([tcpPort]);
      });
    },
  );

  test.skipIf(leftOut("balancer"))("a listener may have an address of its own", async () => {
    const server = await start([{ port: 0, framing: "json", host: "127.0.0.2" }]);
    const socket = await openSocket(server.tcpPorts[1] ?? 0, "127.0.0.2");
    socket.destroy();
    expect(await isOpen(server.tcpPorts[1] ?? 0, "127.0.0.1")).toBe(false);
  });

  test("[NS-10] without secrets no listener serves others than this machine", async () => {
    const flags = { "api-key": "", "token-secret": "" };
    const { message, advice } = await refusal([{ port: 0, framing: "json", host: "0.0.0.0" }], flags);
    expect(message).toContain("tcpListeners[0].host");
    expect(advice).toContain("LONGWIRE_API_KEY");
  });

  test("[NS-11] a listener that others can reach takes the reading right from strangers", async () => {
    const flags = { "token-secret": "", "channels-subscribe": "" };
    const ask = '{"type":"subscribe","channel":"a","id":1}\n';
    for (const [host, answer] of [
      ["127.0.0.1", "subscribed"],
      ["0.0.0.0", '"error"'],
    ] as const) {
      const server = await start([{ port: 0, framing: "json", host }], flags);
      const socket = await openSocket(server.tcpPorts[1] ?? 0);
      socket.send(ask);
      expect(await socket.readUntil('"id":1')).toContain(answer);
      socket.destroy();
    }
  });
});

describe("a framing of the operator's", () => {
  let count = 0;
  function moduleOf(code: string): string {
    const file = join(folder, `framing-${count++}.ts`);
    writeFileSync(file, code);
    return file;
  }

  const SEMICOLONS = `
    const SEMICOLON = 59;
    export const framing = {
      input: (bytes: Uint8Array, from: number) => bytes.indexOf(SEMICOLON, from) + 1,
      decode(packet: Uint8Array) {
        const text = new TextDecoder().decode(packet.subarray(0, -1));
        if (text === "bad") throw new Error("a word that is not said");
        if (text === "bug") return (undefined as any).text;
        if (text === "number") return 5;
        return text === "" ? null : text;
      },
      encode(message: string | Uint8Array) {
        if (message === "unsayable") throw new Error("no");
        return \`\${message};\`;
      },
    };`;

  test("[TC-8] three functions, in a module that is named by its path", async () => {
    const server = await start([{ port: 0, framing: moduleOf(SEMICOLONS), channel: "a" }]);
    const [, port = 0] = server.tcpPorts;
    const alice = await openSocket(port);
    const bob = await openSocket(port);
    while (((await server.api("GET", "/api/channels/a")).body as { subscribers: number }).subscribers < 2);
    alice.send("one;;tw");
    alice.send("o;");
    for (const one of [alice, bob]) expect(await one.readUntil("two;")).toBe("one;two;");
    // What goes wrong in the module is this connection's end, or this message's.
    for (const word of ["bad;", "bug;", "number;"]) {
      const mallory = await openSocket(port);
      mallory.send(word);
      expect(await mallory.readEnd()).toBe("");
    }
    await server.publish("a", "unsayable");
    await server.publish("a", "sayable");
    expect(await bob.readUntil("sayable;")).toBe("sayable;");
    alice.destroy();
    bob.destroy();
  });

  test("[TC-8] a module that is none is told before anything listens", async () => {
    const cases: [string, string][] = [
      [join(folder, "missing.ts"), "cannot be loaded"],
      [moduleOf("export const framing = {"), "cannot be loaded"],
      [moduleOf("throw new Error('not today')"), "not today"],
      [moduleOf("export const other = 1;"), "exports no `framing` with input, encode, decode"],
      [moduleOf("export const framing = { input() {}, decode: 1 };"), "with encode, decode"],
    ];
    for (const [framing, words] of cases) {
      const { message, advice } = await refusal([{ port: 0, framing, channel: "a" }]);
      expect(message).toStartWith("tcpListeners[0].framing: ");
      expect(message).toContain(words);
      expect(advice).toContain("examples/tcp-framing");
    }
  });
});
