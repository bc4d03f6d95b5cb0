import { expect, test } from "bun:test";
import { requestViewer } from "./request-view.ts";

const OWN = "https://example.com";
const viewer = requestViewer(["cookie", "authorization", "x-tenant"], (origin) => origin === OWN);

const headersOf = (headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  viewer(new Request("http://127.0.0.1/ws", { headers }), "websocket", "").headers;

test("[HK-2] the configured headers are shown, those that are there", () => {
  expect(headersOf({ "X-Tenant": "a", Cookie: "sid=1", Host: "h", "X-Other": "b" })).toEqual({
    cookie: "sid=1",
    "x-tenant": "a",
  });
});

test("[HK-13] a cookie is shown only where the page may use it", () => {
  const shown: [Readonly<Record<string, string>>, boolean][] = [
    [{ origin: OWN }, true],
    [{ origin: "https://evil.example" }, false],
    [{ origin: "null" }, false],
    // Whatever a browser says beside it.
    [{ origin: "https://evil.example", "sec-fetch-site": "same-origin" }, false],
    [{}, true],
    [{ "sec-fetch-site": "same-origin" }, true],
    [{ "sec-fetch-site": "none" }, true],
    [{ "sec-fetch-site": "same-site" }, false],
    [{ "sec-fetch-site": "cross-site" }, false],
  ];
  for (const [headers, isShown] of shown) {
    expect([headers, "cookie" in headersOf({ ...headers, cookie: "sid=1" })]).toEqual([headers, isShown]);
  }
});

test("[HK-2] of the query, what is not the gateway's own", () => {
  const query =
    "token=t&channels=a,b&channel=c&since=x&session=s&client=c&frames=data&commands=%7B%7D&page=1&lang=de&__proto__=x";
  const { query: shown } = viewer(new Request("http://127.0.0.1/sse"), "sse", query);
  expect(Object.entries(shown)).toEqual([
    ["page", "1"],
    ["lang", "de"],
    ["__proto__", "x"],
  ]);
});
