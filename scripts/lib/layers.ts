/**
 * The rules of the house about imports (ARCHITECTURE.md), as pure functions: files in, violations out.
 * Imports are found by pattern, not by a parser: the formatter keeps static imports at the beginning of a line, and `import(…)`,
 * which is also how types are imported inline, is looked for anywhere outside of comments. The runtime's own import scanner cannot
 * serve: it does not see type imports.
 */
import { dirname, join } from "node:path/posix";

export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

export interface Import {
  readonly specifier: string;
  readonly line: number;
}

/** Path from the repository's root -> text. */
export type Sources = ReadonlyMap<string, string>;

const FLOORS: Readonly<Record<string, number>> = {
  base: 1,
  wire: 1,
  config: 1,
  ports: 2,
  core: 3,
  engines: 4,
  protocols: 4,
  transports: 4,
  auth: 4,
  hooks: 4,
  http: 5,
  app: 6,
  cli: 7,
};

/** Package -> what it may import by name. The server names the client and the pages only where it serves them. */
const PACKAGES: Readonly<Record<string, { readonly siblings: readonly string[]; readonly outside: boolean }>> = {
  protocol: { siblings: [], outside: false },
  client: { siblings: ["protocol"], outside: false },
  console: { siblings: ["client", "protocol"], outside: true },
  backend: { siblings: ["protocol"], outside: false },
  server: { siblings: ["protocol"], outside: true },
};

/** Folders of the server that serve the SDK and the pages, and may import them to do so. */
const SERVING_FOLDERS: readonly string[] = ["http", "app"];

const CLOCK_FILE = "packages/server/src/base/clock.ts";
/** Where the machine's clock may be used besides, and why. */
const CLOCK_EXCEPTIONS: readonly { readonly path: string; readonly reason: string }[] = [
  { path: "packages/server/src/cli/", reason: "commands run once for a person; no test moves their time" },
];
const CLOCK_USE =
  /\b(?:Date\.now|performance\.now|process\.hrtime|Bun\.nanoseconds|Bun\.sleep|setTimeout|setInterval)\b|\bnew Date\(\)/g;

export function checkLayers(sources: Sources): Violation[] {
  const violations: Violation[] = [];
  const graph = new Map<string, readonly Import[]>();
  for (const [file, text] of sources) {
    const code = withoutComments(text);
    const imports = importsOf(code);
    graph.set(
      file,
      imports.flatMap((entry) => {
        const target = resolveImport(file, entry.specifier);
        return target !== undefined && sources.has(target) ? [{ ...entry, specifier: target }] : [];
      }),
    );
    for (const entry of imports) {
      const message = isTest(file) ? undefined : importFault(file, entry.specifier);
      if (message !== undefined) violations.push({ file, line: entry.line, message });
    }
    if (!isTest(file)) violations.push(...clockViolations(file, code));
  }
  return [...violations, ...ringViolations(graph)];
}

/** The same text with comments blanked out; line numbers stay. */
export function withoutComments(text: string): string {
  const parts = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(parts, (part) => (/^\/[/*]/.test(part) ? part.replace(/[^\n]/g, " ") : part));
}

/** Every import of a source without comments: static, re-exporting, for its effects alone, dynamic and inline types. */
export function importsOf(code: string): Import[] {
  const patterns = [
    /^(?:import|export)\b(?:[^;"'`(]|\{[^}]*\})*?\bfrom\s*["']([^"']+)["']/gm,
    /^import\s*["']([^"']+)["']/gm,
    /\bimport\(\s*["']([^"']+)["']/g,
  ];
  return patterns
    .flatMap((pattern) => [...code.matchAll(pattern)])
    .map((match) => ({ specifier: match[1] ?? "", line: lineAt(code, match.index + match[0].length) }));
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

function isTest(file: string): boolean {
  return /\.(test|slow|bench|e2e|fuzz)\.tsx?$/.test(file) || /\/test\//.test(file);
}

function importFault(file: string, specifier: string): string | undefined {
  const home = packageOf(file);
  if (home === undefined) return undefined;
  const target = resolveImport(file, specifier);
  if (target === undefined) return bareFault(file, home, specifier);
  if (packageOf(target) !== home) return `reaches into another package; import it by its name`;
  if (isTest(target)) return `imports ${specifier}, which is for tests only`;
  return home === "server" ? floorFault(file, target) : undefined;
}

function bareFault(file: string, home: string, specifier: string): string | undefined {
  const rules = PACKAGES[home];
  if (rules === undefined) return undefined;
  const sibling = specifier === "longwire" ? "server" : /^@longwire\/([^/]+)/.exec(specifier)?.[1];
  if (sibling === undefined) {
    // What bundles a package runs where it is built.
    if (rules.outside || file === `packages/${home}/build.ts`) return undefined;
    return `imports ${specifier}; packages/${home} runs everywhere and depends on nothing`;
  }
  if (sibling === home) return `imports its own package by name`;
  const [folder = ""] = serverPath(file) ?? [];
  if (home === "server" && SERVING_FOLDERS.includes(folder)) return undefined;
  if (rules.siblings.includes(sibling)) return undefined;
  const allowed = rules.siblings.length === 0 ? "no other package" : rules.siblings.join(" and ");
  return `imports ${specifier}; packages/${home} may depend on ${allowed}`;
}

function floorFault(file: string, target: string): string | undefined {
  const from = serverPath(file);
  const to = serverPath(target);
  if (from === undefined || to === undefined) return undefined;
  const [folder = "", part = ""] = from;
  const [targetFolder = "", targetPart = ""] = to;
  const floor = FLOORS[folder];
  const targetFloor = FLOORS[targetFolder];
  if (floor === undefined) return `lies in ${folder}/, which has no floor; add it to scripts/lib/layers.ts`;
  if (targetFloor === undefined) return `imports ${targetFolder}/, which has no floor`;
  if (folder === targetFolder) {
    const otherFamily = floor === 4 && to.length > 2 && targetPart !== part;
    return otherFamily
      ? `${folder}/${part} imports ${folder}/${targetPart}: adapters do not know each other`
      : undefined;
  }
  if (targetFloor > floor)
    return `floor ${floor} (${folder}/) imports floor ${targetFloor} (${targetFolder}/), which is above it`;
  if (targetFloor === floor) return `${folder}/ imports ${targetFolder}/ on the same floor ${floor}`;
  if (floor === 4 && targetFolder === "core") return `${folder}/ imports core/: adapters know ports only`;
  return undefined;
}

/** Parts of the path below packages/server/src; undefined for other files. */
function serverPath(file: string): string[] | undefined {
  const root = "packages/server/src/";
  return file.startsWith(root) ? file.slice(root.length).split("/") : undefined;
}

function packageOf(file: string): string | undefined {
  return /^packages\/([^/]+)\//.exec(file)?.[1];
}

/** The file a relative import means; undefined for imports by name. */
function resolveImport(file: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? join(dirname(file), specifier) : undefined;
}

function clockViolations(file: string, code: string): Violation[] {
  if (!file.startsWith("packages/server/src/") || file === CLOCK_FILE) return [];
  if (CLOCK_EXCEPTIONS.some(({ path }) => file.startsWith(path))) return [];
  return [...code.matchAll(CLOCK_USE)].map((match) => ({
    file,
    line: lineAt(code, match.index),
    message: `uses ${match[0]}; time comes from the Clock that is handed in (base/clock.ts)`,
  }));
}

/** One violation per ring, at the import that closes it. */
function ringViolations(graph: ReadonlyMap<string, readonly Import[]>): Violation[] {
  const violations: Violation[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    path.push(file);
    for (const { specifier: target, line } of graph.get(file) ?? []) {
      const start = path.indexOf(target);
      if (start >= 0) {
        const ring = [...path.slice(start), target].join(" -> ");
        violations.push({ file, line, message: `closes a ring of imports: ${ring}` });
      } else if (!done.has(target)) visit(target);
    }
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) if (!done.has(file)) visit(file);
  return violations;
}
