import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import type { Principal } from "../../auth/principal.ts";
import { issueText } from "../../config/issue-text.ts";
import { GatewayError } from "../../errors.ts";
import type { Registry, RequestRegistry, RequestTerms } from "../../registry/registry.ts";
import { findUnwritable } from "./unwritable-text.ts";
import { idempotencyKeyOf, writeOnce } from "./write-once.ts";

/** Who may use a route: nobody has to prove anything, any valid token will do, or the scope `admin` is needed. */
export type Access = "open" | "any" | "admin";

/** One request to a REST route, its parts checked. */
export interface RestRequest<B, Q> {
  readonly body: B;
  readonly query: Q;
  readonly params: Readonly<Record<string, string>>;
  readonly principal: Principal | undefined;
  /** The registry on the terms of this request: its `X-Consistency-Token`, its `Idempotency-Key`, its time. */
  readonly registry: RequestRegistry;
  readonly raw: FastifyRequest;
  readonly reply: FastifyReply;
}

/** Who looks, and at which registry. */
export type RestViewer = Pick<RestRequest<unknown, unknown>, "registry" | "principal">;

/** One REST route: what serves it and what the OpenAPI document says of it. */
export interface RestRoute<B = unknown, Q = unknown> {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path with `{name}` for parameters. */
  readonly path: string;
  readonly summary: string;
  readonly access: Access;
  readonly body?: z.ZodType<B>;
  readonly query?: z.ZodType<Q>;
  /** Status of a success; 200 by default. */
  readonly status?: number;
  handle(request: RestRequest<B, Q>): unknown;
  /** A write that an `Idempotency-Key` makes once: shows what it wrote, by its id. */
  show?(id: string, viewer: RestViewer): unknown;
}

/** Types a route; what it returns is what it was given. */
export function defineRoute<B, Q>(route: RestRoute<B, Q>): RestRoute {
  return route as RestRoute;
}

/** Adds a route to Fastify. */
export function registerRoute(app: FastifyInstance, route: RestRoute, registry: Registry): void {
  app.route({
    method: route.method,
    url: route.path.replaceAll(/\{(\w+)\}/g, ":$1"),
    config: { access: route.access },
    handler: async (raw, reply) => {
      if (route.status !== undefined) reply.code(route.status);
      let own: RequestRegistry | undefined;
      checkText(raw.params, "path");
      const request: RestRequest<unknown, unknown> = {
        body: route.body === undefined ? undefined : check(route.body, raw.body, "body"),
        query: route.query === undefined ? undefined : check(route.query, raw.query, "query"),
        params: raw.params as Readonly<Record<string, string>>,
        principal: raw.principal,
        get registry() {
          own ??= registry.forRequest(termsOf(route, raw));
          return own;
        },
        raw,
        reply,
      };
      const result = await writeOnce(route, request);
      if (own?.token !== undefined) reply.header(tokenHeader, own.token);
      return result ?? null;
    },
  });
}

const tokenHeader = "x-consistency-token";

function termsOf(route: RestRoute, raw: FastifyRequest): RequestTerms {
  const token = raw.headers[tokenHeader];
  return {
    token: typeof token === "string" ? token : undefined,
    idempotency: route.show === undefined ? undefined : idempotencyKeyOf(raw),
  };
}

function check<T>(schema: z.ZodType<T>, value: unknown, place: string): T {
  checkText(value, place);
  const parsed = schema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => ({
    path: [place, ...issue.path.map(String)].join("."),
    message: issueText(issue),
  }));
  throw invalid(issues);
}

/** Refuses what no database would take, before anything asks one. */
function checkText(value: unknown, place: string): void {
  const found = findUnwritable(value);
  if (found !== undefined)
    throw invalid([{ path: [place, ...found.path].join("."), message: found.message }]);
}

function invalid(issues: readonly { readonly path: string; readonly message: string }[]): GatewayError {
  const [first] = issues;
  return new GatewayError("validation_failed", `${first?.path}: ${first?.message}`, { details: { issues } });
}

declare module "fastify" {
  interface FastifyRequest {
    /** Who asks; missing on open routes. */
    principal?: Principal;
  }
  interface FastifyContextConfig {
    /** Who may use the route. */
    access?: Access;
  }
}
