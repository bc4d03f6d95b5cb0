import { describe, expect, test } from "bun:test";
import { defaultConfig, loadConfig, maskSecrets } from "./load.ts";
import { channelOptionsOf, environmentName, flagName, namedPaths, optionAt } from "./schema.ts";
import { ConfigError, type Fault, keyPath } from "./setting.ts";
import type { Environment } from "./sources.ts";

/** Where no file lies. */
const cwd = "/nonexistent";

function load(argv: readonly string[], env: Environment = {}) {
  return loadConfig({ argv, env, cwd });
}

function faultsOf(argv: readonly string[], env: Environment = {}): readonly Fault[] {
  try {
    load(argv, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

function paths(argv: readonly string[]): string[] {
  return faultsOf(argv).map(({ path }) => path);
}

/** Good and bad text for every kind of value, by the option that has it. */
const EXAMPLES = [
  { path: ["port"], good: ["0", 0], bad: ["65536", "8e3", "0x50", " 80", "80.5", "-1", "http"] },
  { path: ["host"], good: ["::1", "::1"], bad: ["  "] },
  { path: ["engine"], good: ["memory", "memory"], bad: ["Memory", "oracle"] },
  { path: ["apiKey"], good: ["k3y-with-8", "k3y-with-8"], bad: ["short", "with a space"] },
  { path: ["tokenSecret"], good: ["0123456789abcdef", "0123456789abcdef"], bad: ["0123456789abcde"] },
  { path: ["origins"], good: ['["https://a.example"]', ["https://a.example"]], bad: ["[1]", '[""]', "[", '["a"'] },
  { path: ["origins"], good: ["https://a.example, *", ["https://a.example", "*"]], bad: [] },
  {
    path: ["apiKeys"],
    good: [
      '[{"name":"shop","key":"0123456789","scopes":["publish"],"namespaces":["","chat"]}]',
      [{ name: "shop", key: "0123456789", scopes: ["publish"], namespaces: ["", "chat"] }],
    ],
    bad: ["0123456789", "{}", '["0123456789"]', '[{"name":"a","key":"0123456789","scopes":[]}]', "[[]]", "[null]"],
  },
  { path: ["demo"], good: ["off", false], bad: ["maybe", "2"] },
  { path: ["channels", "inbox"], good: ["TRUE", true], bad: ["ja"] },
  { path: ["channels", "start"], good: ["earliest", "earliest"], bad: ["first"] },
  { path: ["channels", "historySeconds"], good: ["60", 60], bad: ["0", "60s"] },
] as const;

describe("sources", () => {
  test("without any source there are the defaults, frozen", () => {
    const { config, sources } = load([]);
    expect(config.port).toBe(8080);
    expect(config.host).toBeUndefined();
    expect(config.channels).toMatchObject({ historySize: 100, historySeconds: 300, start: "latest", inbox: false });
    expect(config.queueBytesMax).toBe(1_048_576);
    expect(config.positionTtlSeconds).toBe(2_592_000);
    expect(config).toEqual(defaultConfig());
    expect(sources.get("port")).toBe("default");
    expect(Object.isFrozen(config.namespaces["@"])).toBe(true);
  });

  test("flags win over the environment, which wins over the defaults", () => {
    const { config, sources } = load(["--port", "1"], { LONGWIRE_PORT: "2", LONGWIRE_DATA_DIR: "/var/lib/longwire" });
    expect(config.port).toBe(1);
    expect(sources.get("port")).toBe("--port");
    expect(config.dataDir).toBe("/var/lib/longwire");
    expect(sources.get("dataDir")).toBe("LONGWIRE_DATA_DIR");
  });

  test("every option can be set by its variable and by its flag, both made from its key", () => {
    expect(environmentName(["channels", "historySize"])).toBe("LONGWIRE_CHANNELS_HISTORY_SIZE");
    expect(flagName(["channels", "historySize"])).toBe("--channels-history-size");
    const names = namedPaths().flatMap((path) => [environmentName(path), flagName(path)]);
    expect(new Set(names).size).toBe(names.length);
    for (const path of namedPaths()) {
      const fallback = optionAt(path)?.fallback;
      if (fallback === undefined) continue;
      const text = typeof fallback === "string" ? fallback : JSON.stringify(fallback);
      const fromEnvironment = load([], { [environmentName(path)]: text });
      expect(fromEnvironment.config).toEqual(defaultConfig());
      expect(fromEnvironment.sources.get(keyPath(path))).toBe(environmentName(path));
      expect(load([`${flagName(path)}=${text}`]).sources.get(keyPath(path))).toBe(flagName(path));
    }
  });

  test("flags are written with a space, with `=`, and as --x / --no-x", () => {
    expect(load(["--channels-history-size", "5"]).config.channels.historySize).toBe(5);
    expect(load(["--channels-history-size=6"]).config.channels.historySize).toBe(6);
    expect(load(["--demo", "--channels-inbox"]).config).toMatchObject({ demo: true, channels: { inbox: true } });
    expect(load(["--no-demo"]).config.demo).toBe(false);
    expect(load(["--demo=no"]).config.demo).toBe(false);
    expect(load(["--host=a=b"]).config.host).toBe("a=b");
  });

  test("an empty variable is not set, and neither are the links of a Kubernetes service called longwire", () => {
    const env = {
      LONGWIRE_API_KEY: "",
      LONGWIRE_PORT: "tcp://10.0.0.7:8080",
      LONGWIRE_PORT_8080_TCP: "tcp://10.0.0.7:8080",
      LONGWIRE_PORT_8080_TCP_ADDR: "10.0.0.7",
      LONGWIRE_SERVICE_HOST: "10.0.0.7",
      LONGWIRE_SERVICE_PORT_HTTP: "8080",
    };
    expect(load([], env).config).toEqual(defaultConfig());
  });
});

describe("namespaces", () => {
  test("a namespace's options are laid over those of every channel", () => {
    const { config, sources } = load([
      "--channels-history-size",
      "7",
      "--namespaces",
      '{"chat":{"publish":"signed-in"}}',
    ]);
    expect(channelOptionsOf(config, "chat")).toMatchObject({ historySize: 7, publish: "signed-in" });
    expect(channelOptionsOf(config, "")).toMatchObject({ historySize: 7, publish: undefined });
    expect(channelOptionsOf(config, "constructor")).toEqual(config.channels);
    expect(sources.get("namespaces.chat.publish")).toBe("--namespaces");
  });

  test("personal channels keep their own defaults where nothing else is said", () => {
    const { config } = load([], {
      LONGWIRE_NAMESPACES: '{"@":{"historySize":5}}',
      LONGWIRE_CHANNELS_START: "earliest",
    });
    expect(channelOptionsOf(config, "@")).toMatchObject({
      historySize: 5,
      historySeconds: 604_800,
      start: "inbox",
      inbox: true,
      subscribe: "owner",
      publish: "token",
    });
  });

  test("a name that no channel can have is refused", () => {
    for (const name of ["", "chat:", "@bob", "a b", "a,b"]) {
      expect(faultsOf(["--namespaces", JSON.stringify({ [name]: { inbox: true } })])).toHaveLength(1);
    }
    expect(load(["--namespaces", '{"__proto__":{"inbox":true}}']).config.namespaces["__proto__"]).toEqual({
      inbox: true,
    });
  });
});

describe("faults", () => {
  test("values of every kind are taken where they are good and refused where they are not", () => {
    for (const { path, good, bad } of EXAMPLES) {
      const value = load([], { [environmentName(path)]: good[0] }).config;
      const [first, second] = path as readonly string[];
      const section = value[first as "port"] as unknown;
      expect(second === undefined ? section : (section as Record<string, unknown>)[second]).toEqual(good[1]);
      for (const text of bad) {
        const [fault] = faultsOf([], { [environmentName(path)]: text });
        expect([text, fault?.source]).toEqual([text, environmentName(path)]);
        expect(fault?.path).toStartWith(keyPath(path));
        expect(fault?.message).toContain("must be");
      }
    }
  });

  test("a fault names the key path, the source, what was found and what is allowed", () => {
    expect(faultsOf(["--port", "80a"])).toEqual([
      { path: "port", source: "--port", message: 'must be an integer from 0 to 65535; found "80a"' },
    ]);
    expect(faultsOf([], { LONGWIRE_API_KEYS: '[{"name":"a","kye":"0123456789","scopes":["write"]}]' })).toEqual([
      { path: "apiKeys[0].kye", source: "LONGWIRE_API_KEYS", message: "there is no such field; did you mean key?" },
      expect.objectContaining({ path: "apiKeys[0].key", message: expect.stringContaining("is missing") }),
      expect.objectContaining({ path: "apiKeys[0].scopes[0]", message: expect.stringContaining('found "write"') }),
    ]);
  });

  test("an unknown name is a fault with the nearest good one", () => {
    expect(faultsOf(["--prot", "80"])).toEqual([
      { path: "--prot", source: "", message: "there is no such flag; did you mean --port?" },
    ]);
    expect(faultsOf(["--fries", "--salt=5", "80", "81"]).map(({ path }) => path)).toEqual([
      "--fries",
      "--salt",
      "80",
      "81",
    ]);
    expect(faultsOf(["--channels-historysize=5"])[0]?.message).toContain("did you mean --channels-history-size?");
    expect(faultsOf(["--no-port"])[0]?.message).toContain("there is no such flag");
    expect(faultsOf([], { LONGWIRE_TOKEN_SECRETS: "x" })[0]?.message).toContain("did you mean LONGWIRE_TOKEN_SECRET?");
    expect(faultsOf([], { LONGWIRE_FRIES: "x" })[0]?.message).toBe("there is no such option");
    expect(faultsOf(["--namespaces", '{"chat":{"histroySize":1}}'])[0]).toEqual({
      path: "namespaces.chat.histroySize",
      source: "--namespaces",
      message: "there is no such option; did you mean namespaces.chat.historySize?",
    });
    expect(faultsOf(["--namespaces", '{"chat":{"port":1}}'])[0]?.message).toContain("outside of every section");
  });

  test("a flag without its value and a word without a flag are faults", () => {
    expect(faultsOf(["--port"])).toEqual([{ path: "--port", source: "", message: "needs a value" }]);
    expect(faultsOf(["--port", "--demo"])).toHaveLength(1);
    expect(faultsOf(["--port="])).toHaveLength(1);
    expect(faultsOf(["8080"])).toEqual([{ path: "8080", source: "", message: "this word belongs to no flag" }]);
    expect(faultsOf(["--demo", "false"])).toHaveLength(1);
  });

  test("all faults of all sources are reported at once, overridden values included", () => {
    const faults = faultsOf(["--port", "1", "--fries"], { LONGWIRE_PORT: "many", LONGWIRE_FRIES: "1" });
    expect(faults.map(({ path }) => path)).toEqual(["--fries", "LONGWIRE_FRIES", "port"]);
  });

  test("no message shows a secret", () => {
    const secrets = { LONGWIRE_API_KEY: "geheim!", LONGWIRE_TOKEN_SECRET: "geheim! geheim! geheim!" };
    const keys = ["geheim!", '["geheim!"]', '[{"name":"a","key":"geheim!","scopes":["publish"]}]', '"geheim!"'];
    for (const key of keys) {
      const faults = faultsOf([], { ...secrets, LONGWIRE_API_KEYS: key });
      expect(faults).toHaveLength(3);
      expect(new ConfigError(faults).message).not.toContain("geheim");
    }
  });

  test("values that are good alone and not together are refused", () => {
    expect(paths(["--queue-bytes-max", "2000000", "--queue-bytes-total-max", "1500000"])).toEqual(["queueBytesMax"]);
    expect(paths(["--body-bytes-max", "2048"])).toEqual(["publicationBytesMax"]);
    expect(paths(["--message-bytes-max", "2000000"])).toEqual(["messageBytesMax"]);
    expect(paths(["--publication-bytes-max", "2000000"])).toEqual(["publicationBytesMax"]);
    expect(paths(["--redis-prefix", "a{}"])).toEqual(["redisPrefix"]);
    const key = { name: "a", key: "0123456789", scopes: ["read"] };
    expect(paths(["--api-keys", JSON.stringify([key, key])])).toEqual(["apiKeys[1].name", "apiKeys[1].key"]);
    expect(paths(["--api-key", key.key, "--api-keys", JSON.stringify([key])])).toEqual(["apiKeys[0].key"]);
  });
});

test("secrets are masked, and nothing else", () => {
  const { config } = load([], {
    LONGWIRE_API_KEY: "0123456789",
    LONGWIRE_API_KEYS: '[{"name":"a","key":"9876543210","scopes":["read"]}]',
  });
  const masked = maskSecrets(config);
  expect(masked.apiKey).toBe("********");
  expect(masked.apiKeys).toEqual([{ name: "a", key: "********", scopes: ["read"] }]);
  expect(masked.tokenSecret).toBeUndefined();
  expect({ ...masked, apiKey: config.apiKey, apiKeys: config.apiKeys }).toEqual({ ...config });
});
