/**
 * Bundles the SDK: for a script tag, one file that puts `Longwire` on the page (the server calls this at the first request for
 * it and serves the result), and as a module for everybody else who has no bundler. Run as a script it prints the sizes.
 */
import { gzipSync } from "node:zlib";

/** The text of `longwire.js`. */
export function buildGlobal(): Promise<string> {
  return bundle("global", "iife");
}

/** The text of `longwire.mjs`, which exports what the package does. */
export function buildModule(): Promise<string> {
  return bundle("mod", "esm");
}

async function bundle(entry: "global" | "mod", format: "iife" | "esm"): Promise<string> {
  const build = await Bun.build({
    entrypoints: [`${import.meta.dir}/src/${entry}.ts`],
    target: "browser",
    format,
    minify: true,
  });
  const [script] = build.outputs;
  if (script === undefined) throw new Error("the SDK's bundle is empty");
  return await shorten(openPrivates(await script.text()));
}

/**
 * Members that the SDK's own modules share and nobody else sees: in no frame, no option, no state, and on nothing that an
 * application is given or gives. The bundle has short names for them.
 */
export const INTERNAL: readonly string[] = (
  "acknowledge answer answered ask check closed configure current deadline down emit emitter ended fail failed flush forget " +
  "forgetSession forward frame greeting handled heard keepSession keepTransport lines made moved newKey nudge obtain onEnd open opened " +
  "policy positions quiet receive received release renew renewBefore renewToken renewable reopen report saved sent settings " +
  "standing start stop subscribes takeSession timer transmit up url write"
).split(" ");

/**
 * Private names without their `#`. Bun gives the private names of each class one letter, which no public name has, so none
 * can meet another; should it ever need two, those stay private. What only announced such a name is left out with it.
 */
function openPrivates(script: string): string {
  return script
    .replace(/(?<=[{;}])#\w;/g, "")
    .replace(/\b(async|get)#(?=\w\()/g, "$1 ")
    .replace(/#(?=[a-z]\b)/gi, "");
}

/** What Bun's minifier leaves: constants where they are used, shorter ways to say the same, and the names of `INTERNAL`. */
async function shorten(script: string): Promise<string> {
  // Loaded here: a server that nobody asks for the script does without.
  const { minify } = await import("terser");
  const { code } = await minify(script, {
    ecma: 2020,
    toplevel: true,
    // `value === 1` stays in this order: what begins alike, compresses better.
    compress: { passes: 2, pure_getters: true, lhs_constants: false },
    mangle: { properties: { builtins: true, regex: new RegExp(`^(${INTERNAL.join("|")})$`) } },
  });
  return code ?? "";
}

/** As `gzip -9` would have it, give or take some bytes: Bun's zlib finds a little less. */
export function sizeOf(script: string): { readonly bytes: number; readonly gzipBytes: number } {
  return { bytes: Buffer.byteLength(script), gzipBytes: gzipSync(script, { level: 9 }).length };
}

if (import.meta.main) {
  for (const [name, script] of [
    ["longwire.js", await buildGlobal()],
    ["longwire.mjs", await buildModule()],
  ] as const) {
    const { bytes, gzipBytes } = sizeOf(script);
    process.stdout.write(`${name}: ${bytes} bytes minified, ${gzipBytes} with gzip\n`);
  }
}
