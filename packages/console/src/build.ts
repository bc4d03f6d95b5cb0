/** Bundles the demo page. The server calls this and serves `/demo`, `/demo/demo.js` and `/demo/demo.css`. */

export interface DemoFiles {
  readonly html: string;
  readonly js: string;
  readonly css: string;
}

const DEMO = `${import.meta.dir}/../demo`;

export async function buildDemo(): Promise<DemoFiles> {
  const [html, js, css] = await Promise.all([
    Bun.file(`${DEMO}/index.html`).text(),
    bundle(`${DEMO}/demo.ts`),
    bundle(`${DEMO}/demo.css`),
  ]);
  return { html, js, css };
}

async function bundle(entry: string): Promise<string> {
  const build = await Bun.build({ entrypoints: [entry], target: "browser", format: "esm", minify: true });
  const [output] = build.outputs;
  if (output === undefined) throw new Error(`the bundle of ${entry} is empty`);
  return await output.text();
}
