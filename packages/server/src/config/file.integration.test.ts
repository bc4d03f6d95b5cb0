import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultConfig, loadConfig } from "./load.ts";
import { jsonSchema, sampleFile } from "./reference.ts";
import { ConfigError } from "./setting.ts";

let cwd = "";
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "longwire-config-"));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

function write(name: string, text: string): void {
  writeFileSync(join(cwd, name), text);
}

function load(argv: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
  return loadConfig({ argv, env, cwd });
}

function messageOf(argv: readonly string[] = [], env: Readonly<Record<string, string>> = {}): string {
  try {
    load(argv, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "";
}

const SAME = {
  "longwire.toml": `port = 9000
origins = ["https://a.example"]
[channels]
historySize = 5
[namespaces.chat]
start = "earliest"
[[apiKeys]]
name = "shop"
key = "0123456789"
scopes = ["publish"]
`,
  "longwire.yaml": `port: 9000
origins: [https://a.example]
channels: {historySize: 5}
namespaces:
  chat:
    start: earliest
apiKeys:
  - name: shop
    key: "0123456789"
    scopes: [publish]
`,
  "longwire.json": JSON.stringify({
    $schema: "./longwire.schema.json",
    port: 9000,
    origins: ["https://a.example"],
    channels: { historySize: 5 },
    namespaces: { chat: { start: "earliest" } },
    apiKeys: [{ name: "shop", key: "0123456789", scopes: ["publish"] }],
  }),
};

describe("configuration file", () => {
  test.each(Object.entries(SAME))("%s is found in the working directory and read", (name, text) => {
    write(name, text);
    expect(load().config).toMatchObject({
      port: 9000,
      origins: ["https://a.example"],
      channels: { historySize: 5, historySeconds: 300 },
      namespaces: { chat: { start: "earliest" }, "@": { inbox: true } },
      apiKeys: [{ name: "shop", key: "0123456789", scopes: ["publish"] }],
    });
  });

  test("environment and flags win over the file, and a namespace is merged option by option", () => {
    write(
      "longwire.toml",
      'port = 1\nhost = "a"\nengine = "memory"\n[namespaces.chat]\ninbox = true\nstart = "inbox"\n',
    );
    const { config, sources } = load(["--port", "3", "--namespaces", '{"chat":{"start":"latest"}}'], {
      LONGWIRE_PORT: "2",
      LONGWIRE_HOST: "b",
    });
    expect(config).toMatchObject({ port: 3, host: "b", engine: "memory" });
    expect(config.namespaces["chat"]).toEqual({ inbox: true, start: "latest" });
    expect(sources.get("engine")).toBe("longwire.toml line 3");
    expect(sources.get("namespaces.chat.inbox")).toBe("longwire.toml line 5");
    expect(sources.get("namespaces.chat.start")).toBe("--namespaces");
  });

  test("a file is named by --config, else by LONGWIRE_CONFIG", () => {
    write("longwire.toml", "port = 1");
    write("other.yml", "port: 2");
    write("third.json", '{"port": 3}');
    expect(load([], { LONGWIRE_CONFIG: "other.yml" }).config.port).toBe(2);
    expect(load(["--config", "third.json"], { LONGWIRE_CONFIG: "other.yml" }).config.port).toBe(3);
    expect(load([`--config=${join(cwd, "third.json")}`]).config.port).toBe(3);
    expect(messageOf(["--config", "missing.toml"])).toMatch(/missing\.toml \(--config\): cannot be read: .*ENOENT/);
    expect(messageOf(["--config", "config.ini"])).toContain("must end in .toml, .yaml, .yml or .json");
  });

  test("two files are one too many", () => {
    write("longwire.toml", "");
    write("longwire.json", "{}");
    expect(messageOf()).toContain("longwire.toml: there is also longwire.json");
  });

  test("empty files configure nothing", () => {
    for (const [name, text] of [
      ["longwire.toml", ""],
      ["longwire.yaml", "# nothing\n"],
      ["longwire.json", "\uFEFF{}"],
    ] as const) {
      write(name, text);
      expect(load(["--config", name]).config).toEqual(defaultConfig());
    }
  });

  test("unknown keys and wrong values are named with their line", () => {
    write("longwire.toml", 'prot = 1\nengine = "oracle"\n\n[channels]\nhistroySize = 5\n[namespaces.chat]\nport = 3\n');
    const message = messageOf();
    expect(message).toContain("the configuration has 4 faults:");
    expect(message).toContain("prot (longwire.toml line 1): there is no such option; did you mean port?");
    expect(message).toContain('engine (longwire.toml line 2): must be memory, sqlite or redis; found "oracle"');
    expect(message).toContain(
      "channels.histroySize (longwire.toml line 5): there is no such option; did you mean channels.historySize?",
    );
    expect(message).toContain("namespaces.chat.port (longwire.toml line 7): there is no such option here");
  });

  test("a key that stands on several lines is named without a line", () => {
    write("longwire.yaml", "channels:\n  fries: 1\nnamespaces:\n  a:\n    fries: 2\n");
    expect(messageOf()).toContain("channels.fries (longwire.yaml): there is no such option");
  });

  test("values of a wrong shape are refused, rings of YAML included", () => {
    write(
      "longwire.yaml",
      "channels: 5\nnamespaces: {chat: [1]}\nport: '80'\nhost:\norigins: &o [*o]\napiKeys: {}\ndrainSeconds: .nan\n",
    );
    const message = messageOf();
    expect(message).toContain("channels (longwire.yaml line 1): must hold options");
    expect(message).toContain("namespaces.chat (longwire.yaml line 2): must hold options");
    expect(message).toContain('port (longwire.yaml line 3): must be an integer from 0 to 65535; found "80"');
    expect(message).toContain("host (longwire.yaml line 4): must be text that is not empty; found null");
    expect(message).toContain("origins[0] (longwire.yaml line 5): must be an origin such as");
    expect(message).toContain("apiKeys (longwire.yaml line 6): must be a list of keys");
    expect(message).toContain("drainSeconds (longwire.yaml line 7)");
    write("longwire.json", "[]");
    expect(messageOf(["--config", "longwire.json"])).toContain("must hold options by name");
  });

  test("a file that cannot be parsed is named with the line where its fault begins", () => {
    write("longwire.toml", "port = 1\n\n[channels]\nhistorySize = = 2\nstart = 'inbox'\n");
    expect(messageOf()).toMatch(/longwire\.toml: is not good TOML: .*'=', at line 4/);
    write("bad.yaml", "port: 1\nhost: [a\nengine: sqlite\n");
    expect(messageOf(["--config", "bad.yaml"])).toMatch(/bad\.yaml \(--config\): is not good YAML: .*, at line \d/);
    write("bad.json", "{port: 1}");
    expect(messageOf(["--config", "bad.json"])).toContain("is not good JSON");
  });
});

describe("reference", () => {
  test("the sample file is a good file that changes nothing, with or without its comment signs", () => {
    write("longwire.toml", sampleFile());
    expect(load().config).toEqual(defaultConfig());
    const active = sampleFile().replace(/^# (\w+ = (?!"").*|\[.*\])$/gm, "$1");
    write("longwire.toml", active);
    const { config } = load();
    const { demo: _, anonymous: _anonymous, channels: _channels, namespaces: _namespaces, ...rest } = defaultConfig();
    expect(config).toMatchObject(rest);
    expect(config.namespaces["chat"]).toEqual({ historySize: 500 });
  });

  test("the JSON Schema has a property for every option", () => {
    const schema = jsonSchema() as { properties: Record<string, { properties?: object; default?: unknown }> };
    const config = defaultConfig();
    expect(Object.keys(schema.properties)).toEqual(["$schema", ...Object.keys(config)]);
    expect(Object.keys(schema.properties["channels"]?.properties ?? {})).toEqual(Object.keys(config.channels));
    expect(schema.properties["port"]?.default).toBe(8080);
  });
});
