import { expect, test } from "bun:test";
import { clientAddress, forwardedReader } from "./client-address.ts";

const warnings: unknown[] = [];
const log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (event: string, fields?: object) => void warnings.push({ event, ...fields }),
  error: () => undefined,
};

function requestWith(headers: Readonly<Record<string, string>>): Request {
  return new Request("http://gateway.example/ws", { headers });
}

function from(address: string) {
  return { requestIP: () => ({ address, port: 1, family: "IPv4" as const }) };
}

test("[LM-3] where no proxy is trusted nothing is looked at", () => {
  expect(forwardedReader([], "x-forwarded-for", log)).toBeUndefined();
  expect(clientAddress(undefined, requestWith({ "x-forwarded-for": "6.6.6.6" }), from("::ffff:192.0.2.1"))).toBe(
    "192.0.2.1",
  );
});

test("[LM-3] only a trusted proxy is believed; one that writes nonsense is told to the log once", () => {
  const reader = forwardedReader(["10.0.0.0/8"], "x-forwarded-for", log);
  const request = requestWith({ "x-forwarded-for": "192.0.2.7" });
  expect(clientAddress(reader, request, from("10.0.0.1"))).toBe("192.0.2.7");
  expect(clientAddress(reader, request, from("11.0.0.1"))).toBe("11.0.0.1");
  expect(warnings).toEqual([]);
  for (let count = 0; count < 3; count++) {
    expect(clientAddress(reader, requestWith({ "x-forwarded-for": "nonsense" }), from("10.0.0.1"))).toBe("10.0.0.1");
    // From anybody else it is not even looked at.
    expect(clientAddress(reader, requestWith({ "x-forwarded-for": "nonsense" }), from("11.0.0.1"))).toBe("11.0.0.1");
  }
  expect(warnings).toEqual([
    { event: "a trusted proxy sent no good address", proxy: "10.0.0.1", header: "x-forwarded-for", value: "nonsense" },
  ]);
});
