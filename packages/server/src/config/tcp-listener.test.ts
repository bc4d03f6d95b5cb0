import { describe, expect, test } from "bun:test";
import { loadConfig } from "./load.ts";
import type { Config } from "./schema.ts";
import { ConfigError } from "./setting.ts";

function load(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Config {
  return loadConfig({ argv, env, cwd: "/nowhere" }).config;
}

function faultsOf(argv: readonly string[]): string[] {
  try {
    load(argv);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

const listeners = (...entries: readonly unknown[]): string[] => ["--tcp-listeners", JSON.stringify(entries)];

describe("tcpPort", () => {
  test("is a number or off", () => {
    expect(load([]).tcpPort).toBe(8081);
    expect(load(["--tcp-port", "0"]).tcpPort).toBe(0);
    expect(load([], { LONGWIRE_TCP_PORT: "off" }).tcpPort).toBe("off");
    expect(faultsOf(["--tcp-port", "no"])).toEqual(['tcpPort: must be an integer from 0 to 65535, or off; found "no"']);
    expect(faultsOf(["--tcp-port", "70000"])).toHaveLength(1);
  });

  test("what Kubernetes sets for a service called longwire-tcp is no option", () => {
    const env = { LONGWIRE_TCP_PORT: "tcp://10.0.0.7:8081", LONGWIRE_TCP_PORT_8081_TCP: "tcp://10.0.0.7:8081" };
    expect(load([], { ...env, LONGWIRE_TCP_SERVICE_HOST: "10.0.0.7" }).tcpPort).toBe(8081);
  });

  test("no two listeners have one port", () => {
    expect(faultsOf(["--port", "8081"])).toEqual(["tcpPort: is 8081, as port is: each needs a port of its own"]);
    const twice = { port: 9000, framing: "json" };
    expect(faultsOf(listeners(twice, twice))).toEqual([
      "tcpListeners[1].port: is 9000, as tcpListeners[0].port is: each needs a port of its own",
    ]);
    expect(faultsOf(listeners(twice, { ...twice, host: "127.0.0.2" }))).toEqual([]);
    expect(faultsOf(["--port", "0", "--tcp-port", "0", ...listeners({ port: 0, framing: "json" })])).toEqual([]);
  });
});

describe("tcpListeners", () => {
  test("are good", () => {
    const good = [
      { port: 9000, framing: "json" },
      { port: 9001, framing: "text", channel: "chat:all" },
      { port: 9002, framing: "frame", channel: "devices", host: "127.0.0.2" },
      { port: 9003, framing: "./my-framing.ts", channel: "devices" },
    ];
    expect(load(listeners(...good)).tcpListeners).toEqual(good);
  });

  test("every fault names its place", () => {
    const cases: [unknown, string][] = [
      [7, "tcpListeners[0]: must be an object {port, framing, channel?, host?, tls?}; found 7"],
      [{ framing: "json" }, "tcpListeners[0].port: is missing; must be an integer from 0 to 65535"],
      [{ port: 1, framing: "lines", channel: "a" }, "tcpListeners[0].framing: must be json, text, frame or the path"],
      [{ port: 1, framing: "text" }, "tcpListeners[0].channel: is missing"],
      [{ port: 1, framing: "json", channel: "a" }, "tcpListeners[0].channel: has no place here"],
      [{ port: 1, framing: "text", channel: "a b" }, "tcpListeners[0].channel: must be the name of a channel"],
      [{ port: 1, framing: "text", channel: "@bob" }, "nobody is signed in on such a port"],
      [{ port: 1, framing: "json", chanel: "a" }, "tcpListeners[0].chanel: there is no such field"],
    ];
    for (const [entry, words] of cases) {
      const faults = faultsOf(listeners(entry));
      expect(faults).toHaveLength(1);
      expect(faults[0]).toContain(words);
    }
    expect(faultsOf(["--tcp-listeners", "9000"])).toHaveLength(1);
  });
});
