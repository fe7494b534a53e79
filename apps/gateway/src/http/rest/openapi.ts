import { z } from "zod";
import { gatewayVersion } from "../../upstreams/gateway-identity.ts";
import type { RestRoute } from "./route.ts";

/** The OpenAPI 3.1 document of the REST routes. */
export function openApiDocument(routes: readonly RestRoute[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const operations = paths[route.path] ?? {};
    operations[route.method.toLowerCase()] = operationOf(route);
    paths[route.path] = operations;
  }
  return {
    openapi: "3.1.0",
    info: { title: "Gatewright", version: gatewayVersion, license: { name: "Apache-2.0" } },
    paths,
    components: {
      securitySchemes: { bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" } },
      schemas: { Error: errorSchema },
    },
  };
}

const errorSchema = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["code", "message", "retryable", "requestId"],
      properties: {
        code: { type: "string" },
        message: { type: "string" },
        retryable: { type: "boolean" },
        requestId: { type: "string" },
        details: { type: "object" },
      },
    },
  },
};

function operationOf(route: RestRoute): Record<string, unknown> {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const query = route.query === undefined ? undefined : schemaOf(route.query);
  const inQuery = Object.entries((query?.["properties"] ?? {}) as Record<string, unknown>).map(
    ([name, schema]) => ({
      name,
      in: "query",
      required: false,
      schema,
    }),
  );
  return {
    summary: route.summary,
    ...(route.access === "open" ? {} : { security: [{ bearer: [] }] }),
    ...(inPath.length + inQuery.length === 0 ? {} : { parameters: [...inPath, ...inQuery] }),
    ...(route.body === undefined
      ? {}
      : { requestBody: { content: { "application/json": { schema: schemaOf(route.body) } } } }),
    responses: {
      [String(route.status ?? 200)]: { description: "Success" },
      default: {
        description: "Error",
        content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
      },
    },
  };
}

function schemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest;
}
