import { describe, expect, test } from "bun:test";
import { readAnswer, startApi } from "../../test/support/api.ts";
import type { Assets } from "./assets.ts";

function scripted(changes: Partial<Assets> = {}): { readonly assets: Assets; readonly built: string[] } {
  const built: string[] = [];
  const assets: Assets = {
    async script() {
      built.push("script");
      return "var Longwire;";
    },
    async demo() {
      built.push("demo");
      return { html: "<!doctype html>", js: "demo()", css: "body{}" };
    },
    ...changes,
  };
  return { assets, built };
}

describe("served files", () => {
  test.each([
    ["/longwire.js", "text/javascript; charset=utf-8", "var Longwire;"],
    ["/longwire.js?v=1", "text/javascript; charset=utf-8", "var Longwire;"],
    ["/demo", "text/html; charset=utf-8", "<!doctype html>"],
    ["/demo/demo.js", "text/javascript; charset=utf-8", "demo()"],
    ["/demo/demo.css", "text/css; charset=utf-8", "body{}"],
  ])("%s needs no key", async (path, type, text) => {
    const answer = await startApi({ assets: scripted().assets }).call("GET", path, undefined, { key: null });
    expect([answer.status, answer.body, answer.headers.get("content-type")]).toEqual([200, text, type]);
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("are built at the first request, once", async () => {
    const { assets, built } = scripted();
    const api = startApi({ assets });
    expect(built).toEqual([]);
    await Promise.all(
      ["/demo", "/demo/a.js", "/demo/a.css", "/longwire.js", "/longwire.js"].map((path) => api.call("GET", path)),
    );
    expect(built.toSorted()).toEqual(["demo", "script"]);
  });

  test("a failed build is tried again", async () => {
    let failures = 1;
    const { assets } = scripted({
      script() {
        if (failures-- > 0) return Promise.reject(new Error("no space left"));
        return Promise.resolve("var Longwire;");
      },
    });
    const api = startApi({ assets });
    expect((await api.call("GET", "/longwire.js")).status).toBe(500);
    expect(api.errors).toHaveLength(1);
    expect((await api.call("GET", "/longwire.js")).status).toBe(200);
  });

  test("who has it gets 304", async () => {
    const api = startApi({ assets: scripted().assets });
    const etag = (await api.call("GET", "/longwire.js")).headers.get("etag") ?? "";
    expect(etag).toMatch(/^"[\w-]{22}"$/);
    const ask = async (known: string): Promise<number> => {
      const request = new Request("http://localhost/longwire.js", { headers: { "if-none-match": known } });
      const answer = await readAnswer(await api.http(request));
      expect(answer.headers.get("etag")).toBe(etag);
      expect(answer.body).toBe(answer.status === 304 ? "" : "var Longwire;");
      return answer.status;
    };
    expect(await ask(etag)).toBe(304);
    expect(await ask(`"other", W/${etag}`)).toBe(304);
    expect(await ask("*")).toBe(304);
    expect(await ask('"other"')).toBe(200);
  });

  test("the demo page may load its own parts and nothing else", async () => {
    const { headers } = await startApi({ assets: scripted().assets }).call("GET", "/demo");
    const policy = headers.get("content-security-policy") ?? "";
    for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"])
      expect(policy).toContain(rule);
    expect(policy).not.toContain("unsafe");
  });

  test("the script may be imported by pages of other origins", async () => {
    const { headers } = await startApi({ assets: scripted().assets }).call("GET", "/longwire.js");
    expect(headers.get("access-control-allow-origin")).toBe("*");
  });

  test("no demo where there is none, and only its own files", async () => {
    const api = startApi({ assets: scripted({ demo: undefined }).assets });
    expect((await api.call("GET", "/longwire.js")).status).toBe(200);
    for (const path of ["/demo", "/demo/demo.js"]) expect((await api.call("GET", path)).status).toBe(404);
    const open = startApi({ assets: scripted().assets });
    expect((await open.call("GET", "/demo/secret.txt")).status).toBe(404);
    expect((await open.call("POST", "/demo")).status).toBe(405);
  });
});
