/**
 * Bundles the SDK for a script tag: one file that puts `Longwire` on the page. The server calls this at start and serves
 * the result; run as a script it prints the size.
 */

/** The text of `longwire.js`. */
export async function buildGlobal(): Promise<string> {
  const build = await Bun.build({
    entrypoints: [`${import.meta.dir}/src/global.ts`],
    target: "browser",
    format: "iife",
    minify: true,
  });
  const [script] = build.outputs;
  if (script === undefined) throw new Error("the SDK's bundle is empty");
  return await script.text();
}

export function sizeOf(script: string): { readonly bytes: number; readonly gzipBytes: number } {
  return { bytes: Buffer.byteLength(script), gzipBytes: Bun.gzipSync(script, { level: 9 }).length };
}

if (import.meta.main) {
  const { bytes, gzipBytes } = sizeOf(await buildGlobal());
  process.stdout.write(`longwire.js: ${bytes} bytes minified, ${gzipBytes} with gzip\n`);
}
