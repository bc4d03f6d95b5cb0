/**
 * Bundles the SDK: for a script tag, one file that puts `Longwire` on the page (the server calls this at start and serves the
 * result), and as a module for everybody else who has no bundler. Run as a script it prints the sizes.
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
  return await script.text();
}

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
