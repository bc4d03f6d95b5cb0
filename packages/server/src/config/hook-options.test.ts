import { expect, test } from "bun:test";
import { loadConfig } from "./load.ts";
import { ConfigError } from "./setting.ts";

function faultsOf(...argv: readonly string[]): string[] {
  try {
    loadConfig({ argv, env: {}, cwd: "/" });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path, message }) => `${path} ${message}`);
    throw error;
  }
}

test("[HK-14] where a channel's rule is hook, there is somebody to ask", () => {
  const rules = ["--channels-publish", "hook"];
  expect(faultsOf(...rules)).toEqual(["channels.publish is hook, and there is no hookUrl to ask"]);
  expect(faultsOf(...rules, "--hook-url", "http://127.0.0.1:8000/hooks")).toEqual([]);
});

test("[HK-14] the address is one of HTTP, and holds no secret: it stands in logs", () => {
  for (const url of ["https://example.com/a?b=c", "http://[::1]:9000"]) expect(faultsOf("--hook-url", url)).toEqual([]);
  for (const url of ["example.com", "/hooks", "ftp://example.com", "http://user:secret@example.com", "http://a/#b"]) {
    const faults = faultsOf("--hook-url", url);
    expect(faults).toHaveLength(1);
    expect(faults[0]).not.toContain("secret");
  }
});

test("names of headers are given in lower case", () => {
  expect(faultsOf("--hook-headers", "cookie,x-tenant")).toEqual([]);
  for (const name of ["Cookie", "a b", "a:b"]) expect(faultsOf("--hook-headers", name)).toHaveLength(1);
});
