/** What a bug on the way of a request looks like: to its client, and in the log. */
import { expect, test } from "bun:test";
import type { LogFields } from "../base/log.ts";
import { loadConfig } from "../config/load.ts";
import { systemClock } from "../base/clock.ts";
import type { Gateway } from "../ports/gateway.ts";
import { WebPort } from "./web-server.ts";

const quiet = (): void => undefined;

test("[FR-16] a bug is told as `internal`, without a word of it, and stands in the log whole", async () => {
  const errors: LogFields[] = [];
  const { config } = loadConfig({ argv: ["--port=0"], env: {}, cwd: "/" });
  const web = new WebPort(
    {
      config,
      host: "127.0.0.1",
      option: "port",
      gateway: {} as Gateway,
      clock: systemClock,
      log: { debug: quiet, info: quiet, warn: quiet, error: (event, fields) => void errors.push({ event, ...fields }) },
    },
    undefined,
    () => async (request) => {
      if (request.method === "POST") await request.text();
      throw new TypeError("nobody's business");
    },
  );
  for (const method of ["GET", "POST"]) {
    const response = await fetch(`http://127.0.0.1:${web.port}/ws?token=x`, {
      method,
      ...(method === "POST" && { body: "x" }),
    });
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({ error: { code: 200, message: expect.any(String) } });
  }
  expect(errors.map(({ event, error }) => [event, String(error)])).toEqual(
    Array.from({ length: 2 }, () => ["http request failed", "TypeError: nobody's business"]),
  );
  expect(JSON.stringify(errors)).not.toContain("token");
  await web.close();
});
