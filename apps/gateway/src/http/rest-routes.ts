import type { IncomingMessage } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { GatewayCore } from "../app/gateway-core.ts";
import type { Admission } from "../auth/admission.ts";
import { unexpectedFailure } from "../calls/unexpected-failure.ts";
import { GatewayError } from "../errors.ts";
import { baseUrlOf, challengeOf, metadataPath } from "./challenge.ts";
import { adminRoutes } from "./rest/admin-routes.ts";
import { apiRoutes } from "./rest/api-routes.ts";
import { catalogueRoutes } from "./rest/catalogue-routes.ts";
import { classificationRoutes } from "./rest/classification-routes.ts";
import { configRoutes } from "./rest/config-routes.ts";
import { databaseRoutes } from "./rest/database-routes.ts";
import { docsPage, docsPolicy } from "./rest/docs-page.ts";
import { gatewayRoutes } from "./rest/gateway-routes.ts";
import { healthRoutes } from "./rest/health-routes.ts";
import { limitsRoutes } from "./rest/limits-routes.ts";
import { openApiDocument } from "./rest/openapi.ts";
import { pluginRoutes } from "./rest/plugin-routes.ts";
import { defineRoute, registerRoute } from "./rest/route.ts";
import { serverRoutes } from "./rest/server-routes.ts";

/** The REST routes, their access control and their form of errors. */
export function registerRestRoutes(
  app: FastifyInstance,
  core: GatewayCore,
  guard: (request: IncomingMessage) => void,
  admission: Admission,
): void {
  const routes = [
    ...gatewayRoutes(core),
    ...serverRoutes(core),
    ...catalogueRoutes(),
    ...apiRoutes(core),
    ...healthRoutes(core),
    ...adminRoutes(core),
    ...pluginRoutes(core),
    ...limitsRoutes(core),
    ...classificationRoutes(core),
    ...databaseRoutes(core),
    ...configRoutes(core),
    defineRoute({
      method: "GET",
      path: metadataPath,
      summary: "Protected resource metadata (RFC 9728)",
      access: "open",
      handle: ({ raw }) => ({
        resource: baseUrlOf(core.config.server, raw.raw),
        bearer_methods_supported: ["header"],
        scopes_supported: ["mcp", "admin"],
      }),
    }),
  ];
  const described = [...routes];
  let made: ReturnType<typeof openApiDocument> | undefined;
  // Made when it is asked for: schemas of all routes take longer than a start has.
  const document = () => {
    made ??= openApiDocument(described);
    return made;
  };
  routes.push(
    defineRoute({
      method: "GET",
      path: "/docs",
      summary: "This document as a page",
      access: "open",
      handle: ({ reply }) => {
        reply.header("content-security-policy", docsPolicy).type("text/html; charset=utf-8");
        return docsPage(document());
      },
    }),
    defineRoute({
      method: "GET",
      path: "/openapi.json",
      summary: "This document",
      access: "open",
      handle: document,
    }),
  );
  app.register(async (rest) => {
    rest.setErrorHandler((error, request, reply) => sendError(core, error, request, reply));
    rest.addHook("onRequest", async (request) => {
      guard(request.raw);
      const { access = "admin" } = request.routeOptions.config;
      if (access === "open") return;
      request.principal = await admission.admit(request.raw, access === "admin" ? "admin" : "read");
    });
    rest.addHook("onResponse", async (request, reply) => {
      const route = request.routeOptions.url ?? "unknown";
      core.metrics.http.observe(route, request.method, reply.statusCode, reply.elapsedTime);
    });
    for (const route of routes) registerRoute(rest, route, core.registry);
  });
  app.setNotFoundHandler((request, reply) =>
    sendError(
      core,
      new GatewayError("not_found", `there is no ${request.method} ${request.url.split("?")[0]}`),
      request,
      reply,
    ),
  );
  app.setErrorHandler((error, request, reply) => sendError(core, error, request, reply));
}

function sendError(core: GatewayCore, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const failure = GatewayError.is(error) ? error : fromFastify(core, error, request);
  const { httpStatus, retryable } = failure.surface;
  const { details, headers, retryAfterMs, publicCode } = failure.facts;
  if (httpStatus === 401) reply.header("www-authenticate", challengeOf(core.config.server, request.raw));
  if (retryAfterMs !== undefined) reply.header("retry-after", Math.max(1, Math.ceil(retryAfterMs / 1_000)));
  reply
    .code(httpStatus)
    .headers(headers ?? {})
    .send({
      error: {
        code: publicCode ?? failure.code,
        message: failure.message,
        retryable,
        requestId: request.id,
        ...(details === undefined ? {} : { details }),
      },
    });
}

/** Fastify's own refusals (a broken body, one that is too long) keep their status. */
function fromFastify(core: GatewayCore, error: unknown, request: FastifyRequest): GatewayError {
  const { statusCode, message } = error as { readonly statusCode?: number; readonly message?: string };
  if (statusCode === 413) return new GatewayError("payload_too_large", "the body is too long");
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new GatewayError("validation_failed", message ?? "bad request", { httpStatus: statusCode });
  }
  core.logger.error({ err: error, requestId: request.id }, "a request failed");
  return unexpectedFailure(error);
}
