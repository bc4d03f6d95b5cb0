import { expect, test } from "bun:test";
import { originCheck } from "./origin.ts";

const HOST = "gateway.example:8080";

test("[WS-11] no Origin is no browser: no check", () => {
  expect(originCheck([], false, true)(null, HOST)).toBe(true);
});

test("[WS-11] the server's own origin is good, whatever its scheme; another host or port is not", () => {
  const check = originCheck([], false, true);
  expect(check("http://gateway.example:8080", HOST)).toBe(true);
  expect(check("https://GATEWAY.example:8080", "Gateway.Example:8080")).toBe(true);
  // A proxy ends TLS: browser and server differ about the scheme, and neither names its default port.
  expect(check("https://gateway.example", "gateway.example")).toBe(true);
  for (const origin of [
    "http://gateway.example",
    "http://gateway.example:8081",
    "http://sub.gateway.example:8080",
    "http://gateway.example:8080.evil.example",
    "http://gateway.example.evil.example:8080",
    "http://evil.example/gateway.example:8080",
    "http://gateway.example:8080@evil.example",
    "null",
    "",
    "gateway.example:8080",
    "file://",
  ]) {
    expect([origin, check(origin, HOST)]).toEqual([origin, false]);
  }
  expect(check("http://gateway.example:8080", null)).toBe(false);
});

test("[WS-11] listed origins are good, exactly as listed but for their case", () => {
  const check = originCheck(["https://shop.example", "http://Localhost:3000"], false, true);
  expect(check("https://shop.example", HOST)).toBe(true);
  expect(check("https://Shop.example", HOST)).toBe(true);
  expect(check("http://localhost:3000", HOST)).toBe(true);
  for (const origin of ["http://shop.example", "https://shop.example:444", "https://www.shop.example", "null"]) {
    expect([origin, check(origin, HOST)]).toEqual([origin, false]);
  }
  expect(originCheck(["*"], false, true)("https://anything.example", HOST)).toBe(true);
  expect(originCheck(["*"], false, true)("null", HOST)).toBe(true);
  expect(originCheck(["null"], false, true)("null", HOST)).toBe(true);
});

test("[WS-11] while bound to loopback every page of this machine is good, and only then", () => {
  const origins = [
    "http://localhost",
    "http://localhost:5173",
    "https://127.0.0.1:1",
    "http://[::1]:3000",
    "http://shop.localhost:80",
  ];
  for (const origin of origins) {
    expect([origin, originCheck([], true, true)(origin, HOST)]).toEqual([origin, true]);
    expect([origin, originCheck([], false, true)(origin, HOST)]).toEqual([origin, false]);
  }
  for (const origin of [
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://notlocalhost",
    "null",
  ]) {
    expect([origin, originCheck([], true, true)(origin, HOST)]).toEqual([origin, false]);
  }
});

test("[WS-11] without a token secret the server's own name is no proof: a page may have made it point here", () => {
  const check = originCheck(["https://listed.example"], true, false);
  expect(check("http://rebound.example:8080", "rebound.example:8080")).toBe(false);
  expect(check("http://localhost:8080", "localhost:8080")).toBe(true);
  expect(check("https://listed.example", "127.0.0.1:8080")).toBe(true);
  expect(check(null, "rebound.example:8080")).toBe(true);
});

test("[WS-11] a pattern of sub-domains takes them at any depth, and neither the domain itself nor what only ends like it", () => {
  const check = originCheck(["https://*.shop.example", "http://*.shop.example:8080"], false, true);
  for (const origin of ["https://www.shop.example", "https://a.b.c.shop.example", "http://WWW.Shop.example:8080"]) {
    expect([origin, check(origin, HOST)]).toEqual([origin, true]);
  }
  for (const origin of [
    "https://shop.example",
    "https://.shop.example",
    "https://evilshop.example",
    "https://www.evilshop.example",
    "https://www.shop.example.evil.example",
    "https://www.shop.example:8080",
    "http://www.shop.example",
    "http://www.shop.example:8081",
    "https://www.shop.example@evil.example",
    "https://evil.example/www.shop.example",
    "https://evil.example#.shop.example",
    "https://evil.example?.shop.example",
    "https://evil.example\\.shop.example",
    "null",
  ]) {
    expect([origin, check(origin, HOST)]).toEqual([origin, false]);
  }
});

test("[WS-11] pages of no origin only where `null` stands in the list, or all are taken", () => {
  expect(originCheck(["https://shop.example"], true, true)("null", HOST)).toBe(false);
  expect(originCheck(["null"], false, true)("null", HOST)).toBe(true);
  expect(originCheck(["null"], false, true)("https://shop.example", HOST)).toBe(false);
  expect(originCheck(["*"], false, true)("null", HOST)).toBe(true);
});

test("[WS-11] the port that a scheme has by itself may stand in the list", () => {
  expect(originCheck(["https://shop.example:443"], false, true)("https://shop.example", HOST)).toBe(true);
});
