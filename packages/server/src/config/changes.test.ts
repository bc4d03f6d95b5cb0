import { describe, expect, test } from "bun:test";
import { changesOf } from "./changes.ts";
import { loadConfig } from "./load.ts";
import { type Config, SERVER_OPTIONS } from "./schema.ts";
import { ConfigError } from "./setting.ts";

function configOf(...argv: readonly string[]): Config {
  return loadConfig({ argv, env: {}, cwd: "/nowhere" }).config;
}

describe("[TL-6] what a reload changes", () => {
  test("nothing, where nothing differs", () => {
    const spaces = `--namespaces={"chat":{"publish":"signed-in"}}`;
    expect(changesOf(configOf(spaces), configOf(spaces))).toMatchObject({ changed: [], restart: [] });
  });

  test("key paths of what is taken over, and of what stays until a restart", () => {
    const running = configOf("--port=9000", `--namespaces={"chat":{"publish":"signed-in"},"old":{"historySize":5}}`);
    const next = configOf(
      "--port=9001",
      "--data-dir=elsewhere",
      "--log-level=debug",
      "--origins=https://a.example",
      "--channels-history-size=7",
      `--namespaces={"chat":{"publish":"token"},"new":{}}`,
      `--api-keys=[{"name":"shop","key":"12345678","scopes":["read"]}]`,
    );
    const { changed, restart, config } = changesOf(running, next);
    expect(changed).toEqual([
      "apiKeys",
      "origins",
      "logLevel",
      "channels.historySize",
      "namespaces.chat.publish",
      "namespaces.old.historySize",
    ]);
    expect(restart).toEqual(["port", "dataDir"]);
    expect(config).toMatchObject({ port: 9000, dataDir: "./data", logLevel: "debug", channels: { historySize: 7 } });
    expect(config.namespaces["old"]).toBeUndefined();
  });

  test("every option is taken over or marked", () => {
    const marked = Object.entries(SERVER_OPTIONS).filter(([, { reloadable }]) => !reloadable);
    expect(marked.map(([key]) => key)).toContain("engine");
    expect(SERVER_OPTIONS.tlsCert.reloadable).toBeTrue();
  });

  test("[TL-8] what does not go together with what stays is refused", () => {
    const running = configOf("--message-bytes-max=65536");
    const next = configOf("--message-bytes-max=20000", "--queue-bytes-max=20000", "--publication-bytes-max=9999");
    expect(() => changesOf(running, next)).toThrow(ConfigError);
    expect(() => changesOf(running, next)).toThrow("messageBytesMax (as it runs)");
  });
});
