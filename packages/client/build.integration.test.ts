import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildGlobal, INTERNAL, sizeOf } from "./build.ts";
import { Channel, Client, LongwireError } from "./src/mod.ts";

const script = await buildGlobal();
const page: { Longwire?: Record<string, unknown> } = {};
// oxlint-disable-next-line no-implied-eval, no-new-func -- the bundle is a script: this is how a page runs it
new Function("globalThis", script)(page);

test("the script tag's bundle defines `Longwire` and stays small", () => {
  expect(Object.keys(page.Longwire ?? {})).toEqual(["Channel", "Client", "connect", "LongwireError"]);
  // With all four transports and the way between them: 8 KB, by gzip's best level.
  expect(sizeOf(script).gzipBytes).toBeLessThanOrEqual(8 * 1024);
});

test("the bundle's classes have the members of the sources", () => {
  for (const Source of [Client, Channel, LongwireError]) {
    const Bundled = page.Longwire?.[Source.name] as typeof Source;
    expect(Object.getOwnPropertyNames(Bundled.prototype)).toEqual(
      expect.arrayContaining(Object.getOwnPropertyNames(Source.prototype)),
    );
  }
});

test("no member that the bundle renames is known outside", () => {
  const known = new Set<string>();
  const collect = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      known.add(key);
      collect(inner);
    }
  };
  for (const name of ["frames", "commands"]) {
    const file = readFileSync(join(import.meta.dir, `../protocol/vectors/${name}.json`), "utf8");
    for (const { frame, command } of (JSON.parse(file) as Vectors).vectors) collect(frame ?? command);
  }
  expect(known).toContain("recovered");
  expect(INTERNAL.filter((name) => known.has(name))).toEqual([]);
});

test("no member that the bundle renames is one of the types that an application sees", () => {
  const exported = readFileSync(join(import.meta.dir, "src/mod.ts"), "utf8");
  const folder = join(import.meta.dir, "src");
  const members = new Set<string>();
  for (const file of readdirSync(folder)) {
    if (!exported.includes(`"./${file}"`)) continue;
    for (const declaration of readFileSync(join(folder, file), "utf8").split(/^(?=export |function |const )/m)) {
      const [, name = ""] = /^export (?:interface|type|class) (\w+)/.exec(declaration) ?? [];
      if (name === "" || !new RegExp(`\\b${name}\\b`).test(exported)) continue;
      for (const [, member = ""] of declaration.matchAll(/(?:^ {2}(?:async |get )?|readonly )(\w+)\??[:(<]/gm))
        members.add(member);
    }
  }
  for (const member of ["publish", "getToken", "retryAt", "position"]) expect(members).toContain(member);
  expect(INTERNAL.filter((name) => members.has(name))).toEqual([]);
});

interface Vectors {
  readonly vectors: readonly { readonly frame?: unknown; readonly command?: unknown }[];
}
