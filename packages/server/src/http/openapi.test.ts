import { describe, expect, test } from "bun:test";
import { ERRORS } from "@longwire/protocol";
import { LIMITS, startApi } from "../../test/support/api.ts";
import { FakeControl } from "../../test/support/fake-control.ts";
import { allOperations } from "./api.ts";

interface Description {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Entry>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, unknown>>;
    readonly securitySchemes: Readonly<Record<string, unknown>>;
  };
}

interface Entry {
  readonly operationId: string;
  readonly security: readonly Readonly<Record<string, unknown>>[];
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly schema: object;
  }[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: Readonly<Record<string, { readonly schema: object }>>;
  };
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
}

const api = startApi();
const description = (await api.call("GET", "/api/openapi.json")).body as Description;
const operations = allOperations({
  control: new FakeControl(),
  keys: [],
  log: { debug() {}, info() {}, warn() {}, error() {} },
  health: () => ({ ready: true }),
  limits: LIMITS,
  version: "0.1.0",
});
const entries = Object.entries(description.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, entry]) => [`${method.toUpperCase()} ${path}`, path, entry] as const),
);

describe("[AP-17] the description", () => {
  test("holds every operation that is served, and no other", () => {
    const described = entries.map(([name]): string => name).toSorted();
    expect(described).toEqual(operations.map(({ method, path }) => `${method} ${path}`).toSorted());
  });

  test("is OpenAPI 3.1 in its frame", () => {
    expect(description.openapi).toBe("3.1.0");
    expect(description.info.version).toBe("0.1.0");
    expect(description.components.securitySchemes["apiKey"]).toEqual({ type: "http", scheme: "bearer" });
    const ids = entries.map(([, , { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test.each(entries)("%s is whole", (name, path, entry) => {
    const inPath = entry.parameters?.filter((parameter) => parameter.in === "path") ?? [];
    expect(inPath.map((parameter) => `{${parameter.name}}`)).toEqual(
      [...path.matchAll(/\{\w+\}/g)].map(([word]) => word),
    );
    expect(inPath.every(({ required }) => required === true)).toBe(true);
    expect(entry.parameters?.every(({ schema }) => typeof schema === "object") ?? true).toBe(true);
    expect(entry.requestBody === undefined).toBe(!/^(?:POST|PUT|PATCH)/.test(name));
    const statuses = Object.keys(entry.responses);
    expect(statuses.some((status) => status === "200" || status === "204")).toBe(true);
    expect(statuses.every((status) => /^[2-5]\d\d$/.test(status))).toBe(true);
    expect(Object.values(entry.responses).every((response) => response.description !== "")).toBe(true);
    const needsKey = path.startsWith("/api/");
    expect(entry.security).toEqual(needsKey ? [{ apiKey: [] }] : []);
    expect(statuses.includes("401") && statuses.includes("403")).toBe(needsKey);
    expect(statuses).toContain("500");
  });

  test("every reference leads to a component, and every component is referred to", () => {
    const text = JSON.stringify(description);
    const referred = new Set(
      [...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name ?? ""),
    );
    expect(referred).toEqual(new Set(Object.keys(description.components.schemas)));
    expect(text.match(/"\$ref":"#\/(?!components\/schemas\/)/)).toBeNull();
    expect(text).not.toContain("$defs");
    expect(text).not.toContain('"$schema"');
  });

  test("shows what a publication may hold", () => {
    expect(description.components.schemas["Publication"]).toMatchObject({
      type: "object",
      additionalProperties: false,
      required: ["data"],
      oneOf: [{ required: ["channel"] }, { required: ["channels"] }, { required: ["user"] }, { required: ["users"] }],
      properties: {
        channel: { type: "string" },
        channels: { type: "array", maxItems: 10_000 },
        history: { type: "boolean" },
      },
    });
    const batch = description.paths["/api/batch"]?.["post"]?.requestBody?.content["application/json"]?.schema;
    expect(batch).toMatchObject({
      properties: { publications: { items: { $ref: "#/components/schemas/Publication" } } },
    });
  });

  test("shows limits, and errors with their codes", () => {
    const history = description.paths["/api/channels/{channel}/history"]?.["get"];
    expect(history?.parameters?.find(({ name }) => name === "limit")?.schema).toMatchObject({
      type: "integer",
      minimum: 1,
      maximum: 100,
    });
    const responses = description.paths["/api/publish"]?.["post"]?.responses;
    expect(responses?.["409"]?.description).toContain(`${ERRORS.conflict.code}: ${ERRORS.conflict.text}`);
    expect(responses?.["413"]?.description).toContain(String(ERRORS.tooLarge.code));
  });

  test("a body may be left out only where nothing is required", () => {
    const required = entries.filter(([, , { requestBody }]) => requestBody?.required === false).map(([name]) => name);
    expect(required).toEqual(["POST /api/users/{user}/disconnect", "POST /api/sessions/{session}/disconnect"]);
  });
});
