import { expect, test } from "bun:test";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import type { Settings } from "../core/settings.ts";
import type { Posture } from "./posture.ts";
import { settingsOf } from "./settings.ts";

const POSTURE: Posture = {
  host: "127.0.0.1",
  loopback: true,
  hasTokens: true,
  keys: [],
  madeKeyFile: undefined,
  demo: false,
  access: { subscribe: "signed-in", publish: "token", presence: "signed-in", history: "signed-in" },
};

function configOf(...argv: string[]): Config {
  return loadConfig({ argv, env: {}, cwd: import.meta.dir }).config;
}

function settings(posture: Partial<Posture> = {}, ...argv: string[]): Settings {
  return settingsOf(configOf(...argv), { ...POSTURE, ...posture }, "0.0.0");
}

test("[NS-10] where nothing is said, the posture decides", () => {
  expect(settings().channels).toMatchObject(POSTURE.access);
  const access = { subscribe: "everybody", publish: "nobody", presence: "everybody", history: "token" } as const;
  expect(settings({ access }).channels).toMatchObject(access);
});

test("[NS-1] what is said holds, whatever the posture", () => {
  const { channels } = settings({}, "--channels-subscribe=everybody", "--channels-history=nobody");
  expect(channels).toMatchObject({ subscribe: "everybody", history: "nobody", presence: "signed-in" });
});

test("[NS-10] history: 100 publications for 5 minutes; of `@` 1,000 for 7 days, from the inbox, its owner's alone", () => {
  const { channels, namespaces } = settings();
  expect(channels).toMatchObject({ historySize: 100, historyMs: 300_000, start: "latest", inbox: false });
  expect(namespaces.get("@")).toMatchObject({
    historySize: 1000,
    historyMs: 7 * 86_400_000,
    start: "inbox",
    inbox: true,
    subscribe: "owner",
    publish: "token",
    presence: "owner",
    history: "owner",
  });
});

test("[NS-9] opening every channel does not open the personal ones", () => {
  const open = ["subscribe", "presence", "history"].map((action) => `--channels-${action}=everybody`);
  expect(settings({}, ...open).namespaces.get("@")).toMatchObject({
    subscribe: "owner",
    presence: "owner",
    history: "owner",
  });
});

test("[NS-5] a namespace takes what it does not say from `channels`; one that is not configured is not there", () => {
  const config = { ...configOf("--channels-history-size=7"), namespaces: { chat: { start: "earliest" } } } as Config;
  const { namespaces } = settingsOf(config, POSTURE, "0.0.0");
  expect(namespaces.get("chat")).toMatchObject({ start: "earliest", historySize: 7, subscribe: "signed-in" });
  expect(namespaces.has("news")).toBe(false);
  expect(namespaces.has("constructor")).toBe(false);
});

test("[NS-12] `demo:` is open to everybody for everything while the demo is on, and only then", () => {
  const everything = { subscribe: "everybody", publish: "everybody", presence: "everybody", history: "everybody" };
  expect(settings({ demo: true }).namespaces.get("demo")).toMatchObject(everything);
  expect(settings({ demo: false }).namespaces.has("demo")).toBe(false);
});

test("every time is in milliseconds for the core", () => {
  expect(settings({}, "--resume-seconds=7", "--ping-interval-ms=5000")).toMatchObject({
    resumeMs: 7000,
    pingIntervalMs: 5000,
  });
});

test("[HK-7] whom the application keeps out of a channel is kept from reading it, unless that is said otherwise", () => {
  const url = ["--hook-url", "http://127.0.0.1:1/"];
  const { channels } = settings({}, ...url, "--channels-subscribe=hook");
  expect(channels).toMatchObject({ subscribe: "hook", publish: "token", presence: "hook", history: "hook" });
  const { channels: open } = settings({}, ...url, "--channels-subscribe=hook", "--channels-history=everybody");
  expect(open).toMatchObject({ presence: "hook", history: "everybody" });
});

test("[HK-2] the application is asked who connects once it has an address, unless it is not to be", () => {
  const asked: readonly (readonly [string, ...string[]])[] = [
    ["never"],
    ["never", "--hook-connect", "always"],
    ["without-token", "--hook-url", "http://127.0.0.1:1/"],
    ["never", "--hook-url", "http://127.0.0.1:1/", "--hook-connect", "never"],
  ];
  for (const [when, ...argv] of asked) expect(settings({}, ...argv).askConnect).toBe(when as never);
});
