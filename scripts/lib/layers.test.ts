import { describe, expect, test } from "bun:test";
import { checkLayers, importsOf, withoutComments } from "./layers.ts";

const SERVER = "packages/server/src";

/** What is said about these files, as `file:line`. */
function places(files: Readonly<Record<string, string>>): string[] {
  return checkLayers(new Map(Object.entries(files))).map(({ file, line }) => `${file}:${line}`);
}

/** Whether `from` may import `to`. Both exist. */
function allowed(from: string, to: string, specifier: string): boolean {
  return places({ [from]: importing(specifier), [to]: "" }).length === 0;
}

/** Written so that this file itself does not seem to import it. */
function importing(specifier: string, what = "{ x }"): string {
  return ["import", what, "from", JSON.stringify(specifier)].join(" ");
}

describe("imports are found", () => {
  test("of every form, with the line of their path, and not in comments", () => {
    const code = [
      importing("./a.ts", "type { A }"),
      ["import {", "  b,", "  type C,", '} from "./b.ts";'].join("\n"),
      ["import", '"./c.ts";'].join(" "),
      importing("./d.ts", "d, * as e").replace('"', "'").replace('"', "'"),
      ["export", "*", "from", '"./e.ts";'].join(" "),
      ["export", "type { F }", "from", '"./f.ts";'].join(" "),
      ["const g = await ", "import", '("./g.ts");'].join(""),
      ["let h: ", "import", '("./h.ts").H;'].join(""),
      importing("./i.json", "i").concat(' with { type: "json" };'),
      "// ".concat(importing("./never.ts")),
      ["/*", importing("./never.ts"), "*/"].join("\n"),
      'const address = "http://x"; const from = "./never.ts";',
      "export const from2 = 1;",
    ].join("\n");
    const found = importsOf(withoutComments(code)).toSorted((a, b) => a.line - b.line);
    expect(found).toEqual([
      { specifier: "./a.ts", line: 1 },
      { specifier: "./b.ts", line: 5 },
      { specifier: "./c.ts", line: 6 },
      { specifier: "./d.ts", line: 7 },
      { specifier: "./e.ts", line: 8 },
      { specifier: "./f.ts", line: 9 },
      { specifier: "./g.ts", line: 10 },
      { specifier: "./h.ts", line: 11 },
      { specifier: "./i.json", line: 12 },
    ]);
  });
});

describe("floors of the server", () => {
  test.each([
    ["core/hub.ts", "ports/broker.ts", "../ports/broker.ts"],
    ["core/actions/publish.ts", "core/hub.ts", "../hub.ts"],
    ["engines/memory/broker.ts", "engines/trim.ts", "../trim.ts"],
    ["engines/memory/broker.ts", "engines/memory/presence.ts", "./presence.ts"],
    ["transports/websocket.ts", "ports/gateway.ts", "../ports/gateway.ts"],
    ["transports/websocket.ts", "transports/query.ts", "./query.ts"],
    ["http/api.ts", "core/control.ts", "../core/control.ts"],
    ["cli/serve.ts", "app/serve.ts", "../app/serve.ts"],
  ])("%s may import %s", (from, to, specifier) => {
    expect(allowed(`${SERVER}/${from}`, `${SERVER}/${to}`, specifier)).toBe(true);
  });

  test.each([
    ["ports/broker.ts", "core/hub.ts", "../core/hub.ts"],
    ["core/hub.ts", "engines/memory/broker.ts", "../engines/memory/broker.ts"],
    ["config/load.ts", "base/failures.ts", "../base/failures.ts"],
    ["transports/websocket.ts", "core/gateway.ts", "../core/gateway.ts"],
    ["transports/websocket.ts", "protocols/native.ts", "../protocols/native.ts"],
    ["engines/sqlite/broker.ts", "engines/memory/broker.ts", "../memory/broker.ts"],
    ["http/api.ts", "app/serve.ts", "../app/serve.ts"],
    ["attic/old.ts", "base/clock.ts", "../base/clock.ts"],
    ["core/hub.ts", "core/hub.test.ts", "./hub.test.ts"],
  ])("%s may not import %s", (from, to, specifier) => {
    expect(allowed(`${SERVER}/${from}`, `${SERVER}/${to}`, specifier)).toBe(false);
  });

  test("types count, tests may import what they test together", () => {
    const file = `${SERVER}/ports/broker.ts`;
    const type = importing("../core/hub.ts", "type { Hub }");
    expect(places({ [file]: `\n${type}` })).toEqual([`${file}:2`]);
    expect(places({ [`${SERVER}/transports/websocket.test.ts`]: importing("../core/gateway.ts") })).toEqual([]);
  });
});

describe("packages", () => {
  test("depend only on what they may", () => {
    const client = "packages/client/src/client.ts";
    expect(places({ [client]: importing("@longwire/protocol") })).toEqual([]);
    expect(places({ [client]: importing("@longwire/console") })).toEqual([`${client}:1`]);
    expect(places({ [client]: importing("node:crypto") })).toEqual([`${client}:1`]);
    expect(places({ [client]: importing("../../protocol/src/mod.ts") })).toEqual([`${client}:1`]);
    expect(places({ "packages/client/src/client.test.ts": importing("bun:test") })).toEqual([]);
    const protocol = "packages/protocol/src/mod.ts";
    expect(places({ [protocol]: importing("@longwire/client") })).toEqual([`${protocol}:1`]);
    const page = "packages/console/src/demo.tsx";
    expect(places({ [page]: `${importing("@longwire/client")}\n${importing("preact")}` })).toEqual([]);
    expect(places({ [page]: importing("longwire") })).toEqual([`${page}:1`]);
    expect(places({ [`${SERVER}/app/scripts.ts`]: importing("@longwire/client") })).toEqual([]);
    expect(places({ [`${SERVER}/core/hub.ts`]: importing("@longwire/client") })).toHaveLength(1);
  });
});

describe("rings", () => {
  test("are found once each, with types and dynamic imports", () => {
    const files = {
      "packages/client/src/a.ts": importing("./b.ts", "type { B }"),
      "packages/client/src/b.ts": ["const c = ", "import", '("./c.ts");'].join(""),
      "packages/client/src/c.ts": importing("./a.ts"),
      "packages/client/src/d.ts": importing("./a.ts"),
    };
    const [violation, ...rest] = checkLayers(new Map(Object.entries(files)));
    expect(rest).toEqual([]);
    expect(violation).toMatchObject({ file: "packages/client/src/c.ts", line: 1 });
    expect(violation?.message).toEndWith(
      "a.ts -> packages/client/src/b.ts -> packages/client/src/c.ts -> packages/client/src/a.ts",
    );
  });
});

describe("clock", () => {
  test("is used in base/clock.ts and by commands only", () => {
    const use = "// Date.now() is slow\nconst now = Date.now();\nsetTimeout(run, 5); new Date(); new Date(time);";
    const hub = `${SERVER}/core/hub.ts`;
    expect(places({ [hub]: use })).toEqual([`${hub}:2`, `${hub}:3`, `${hub}:3`]);
    expect(places({ [`${SERVER}/base/clock.ts`]: use, [`${SERVER}/cli/serve.ts`]: use })).toEqual([]);
    expect(places({ [`${SERVER}/core/hub.test.ts`]: use, "packages/client/src/client.ts": use })).toEqual([]);
  });
});
