/** The OpenAPI 3.1 description, made from the operations that the router serves. */
import { ERRORS, type ErrorName } from "@longwire/protocol";
import { z } from "zod";
import type { Operation } from "./operation.ts";
import { failureAnswer } from "./schemas.ts";

type JsonSchema = Readonly<Record<string, unknown>>;

const FORM = "application/x-www-form-urlencoded";
const INTRODUCTION =
  "Calls carry `Authorization: Bearer <API key>`. Failures are `{error: {code, message, path?}}`; the code's range says whether to try again.";

export function describeApi(operations: readonly Operation[], version: string): JsonSchema {
  const components: Record<string, JsonSchema> = {};
  const schemaOf = (schema: z.ZodType): JsonSchema => hoist(schema, components);
  const paths: Record<string, Record<string, JsonSchema>> = {};
  for (const operation of operations) {
    const path = (paths[operation.path] ??= {});
    path[operation.method.toLowerCase()] = describe(operation, schemaOf);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Longwire HTTP API",
      version,
      description: INTRODUCTION,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: { schemas: components, securitySchemes: { apiKey: { type: "http", scheme: "bearer" } } },
  };
}

function describe(operation: Operation, schemaOf: (schema: z.ZodType) => JsonSchema): JsonSchema {
  const { id, summary, description, tag, scope, body, bodyShown } = operation;
  const notes = [description, scope === undefined ? undefined : `Scope: \`${scope}\`.`].filter(
    (note) => note !== undefined,
  );
  const shown = bodyShown ?? body;
  const parameters = parametersOf(operation, schemaOf);
  return {
    operationId: id,
    summary,
    ...(notes.length > 0 ? { description: notes.join("\n\n") } : {}),
    tags: [tag],
    security: scope === undefined ? [] : [{ apiKey: [] }],
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(shown === undefined ? {} : { requestBody: requestBody(operation, shown, schemaOf) }),
    responses: responsesOf(operation, schemaOf),
  };
}

function parametersOf(operation: Operation, schemaOf: (schema: z.ZodType) => JsonSchema): JsonSchema[] {
  const inPath = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    description: "Percent-encoded.",
    schema: { type: "string" },
  }));
  if (operation.query === undefined) return inPath;
  const { properties = {} } = schemaOf(operation.query) as { properties?: Record<string, JsonSchema> };
  const inQuery = Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    ...(description === undefined ? {} : { description }),
    schema,
  }));
  return [...inPath, ...inQuery];
}

function requestBody(operation: Operation, shown: z.ZodType, schemaOf: (schema: z.ZodType) => JsonSchema): JsonSchema {
  const schema = schemaOf(shown);
  const types = shown instanceof z.ZodObject ? ["application/json", FORM] : ["application/json"];
  return {
    required: !operation.bodyOptional,
    content: Object.fromEntries(types.map((type) => [type, { schema }])),
  };
}

function responsesOf(operation: Operation, schemaOf: (schema: z.ZodType) => JsonSchema): Record<string, JsonSchema> {
  const { answer } = operation;
  const responses: Record<string, JsonSchema> = {};
  if (answer === undefined) responses["204"] = { description: "Done." };
  else responses["200"] = { description: "Done.", content: { "application/json": { schema: schemaOf(answer) } } };
  const byStatus = Map.groupBy(errorsOf(operation), (name) => String(ERRORS[name].status));
  for (const [status, names] of byStatus) {
    const texts = names.map((name) => `${ERRORS[name].code}: ${ERRORS[name].text}`);
    responses[status] = {
      description: texts.join("; "),
      content: { "application/json": { schema: schemaOf(failureAnswer) } },
    };
  }
  if (operation.path === "/readyz") responses["503"] = { ...responses["200"], description: "Not ready." };
  return responses;
}

function errorsOf(operation: Operation): ErrorName[] {
  const names = new Set<ErrorName>(operation.errors ?? []);
  if (operation.scope !== undefined) names.add("badKey").add("forbidden");
  if (operation.body !== undefined) names.add("malformed").add("badField").add("tooLarge").add("contentType");
  if (operation.query !== undefined || operation.path.includes("{")) names.add("badField");
  return [...names.add("internal")];
}

/** JSON Schema of the input side; what has an id goes to the components and is referred to. */
function hoist(schema: z.ZodType, components: Record<string, JsonSchema>): JsonSchema {
  const text = JSON.stringify(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }));
  const whole = JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/')) as Record<string, unknown>;
  const definitions = (whole["$defs"] ?? {}) as Record<string, JsonSchema>;
  for (const [name, definition] of Object.entries(definitions)) components[name] = withoutId(definition);
  delete whole["$defs"];
  delete whole["$schema"];
  const id = whole["id"];
  if (typeof id !== "string") return whole;
  components[id] = withoutId(whole);
  return { $ref: `#/components/schemas/${id}` };
}

function withoutId(schema: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([name]) => name !== "id"));
}
