import { describe, expect, test } from "bun:test";
import { allowOf, Router, splitUrl } from "./router.ts";

describe("splitUrl", () => {
  test.each([
    ["http://localhost:8080/api/publish", "/api/publish", ""],
    ["http://localhost/a?b=c?d", "/a", "b=c?d"],
    ["http://[::1]:80/?", "/", ""],
    ["/a/b?x=/y", "/a/b", "x=/y"],
    ["http://x//a", "//a", ""],
  ])("%s", (url, path, query) => {
    expect(splitUrl(url)).toEqual({ path, query });
  });
});

describe("Router", () => {
  const router = new Router<string>();
  router.add("GET", "/things", "list");
  router.add("GET", "/things/{thing}", "show");
  router.add("PUT", "/things/{thing}", "put");
  router.add("GET", "/things/{thing}/parts/{part}", "part");
  router.add("GET", "/things/special", "special");
  const find = (path: string): unknown => {
    const match = router.match(path);
    return match === undefined ? undefined : [match.methods.get("GET"), match.parameters];
  };

  test("finds literal segments before parameters", () => {
    expect(find("/things")).toEqual(["list", {}]);
    expect(find("/things/special")).toEqual(["special", {}]);
    expect(find("/things/a%2Fb")).toEqual(["show", { thing: "a/b" }]);
    expect(find("/things/a/parts/b")).toEqual(["part", { thing: "a", part: "b" }]);
  });

  test("finds nothing where there is nothing", () => {
    for (const path of [
      "",
      "/",
      "/thing",
      "/things/",
      "/things/a/parts",
      "/things/a/parts/",
      "/things//parts/b",
      "/constructor",
    ]) {
      expect(find(path)).toBeUndefined();
    }
  });

  test("one parameter has one name", () => {
    expect(() => router.add("GET", "/things/{other}/x", "x")).toThrow("two names");
  });

  test("Allow names every method, HEAD with GET", () => {
    expect(allowOf(router.match("/things/a")?.methods ?? new Map())).toBe("GET, HEAD, PUT");
  });
});
