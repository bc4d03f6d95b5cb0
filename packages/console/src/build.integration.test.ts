import { expect, test } from "bun:test";
import { buildDemo } from "./build.ts";

test("the demo is three files: a page that names the other two and holds no script of its own", async () => {
  const { html, js, css } = await buildDemo();
  expect(html).toContain('src="/demo/demo.js"');
  expect(html).toContain('href="/demo/demo.css"');
  // The server's policy lets none run.
  expect(html).not.toMatch(/<script(?![^>]*\ssrc=)/);
  expect(html).not.toMatch(/\s(?:on\w+|style)=/);
  expect(js).not.toContain("innerHTML");
  expect(css.length).toBeGreaterThan(1000);
});
