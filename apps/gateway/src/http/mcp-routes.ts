import type { IncomingMessage, ServerResponse } from "node:http";
import type { McpEndpoint } from "../mcp/mcp-endpoint.ts";
import type { HttpMetrics } from "../metrics/http-metrics.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import { allTargets, type McpTarget, nothing, serverTarget } from "./mcp-targets.ts";

/** What the MCP routes work with. */
export interface McpRoutesDeps {
  readonly endpoint: McpEndpoint;
  readonly metrics: HttpMetrics;
  readonly requestIdOf: (request: IncomingMessage) => string;
  /** Told of requests that could not even be answered. */
  readonly onFailure: (error: unknown) => void;
}

/** What is served at a path. */
export interface McpRoute {
  /** The path with the names of its parts, for metrics. */
  readonly pattern: string;
  readonly transport: "streamable" | "plain";
  readonly target: McpTarget;
}

/** Serves a request when its path is one of MCP; false when it is not, and nothing was done. */
export type McpListener = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * The MCP routes. They come before Fastify, which serves all other paths: what comes and goes here is JSON-RPC, errors
 * and methods that are not served included, and Fastify's objects of a request would be made to be thrown away.
 */
export function createMcpListener(deps: McpRoutesDeps & { readonly snapshot: () => Snapshot }): McpListener {
  const fixed = fixedRoutes(deps.snapshot);
  return createRouteListener(deps, (url) => routeOf(url, fixed, deps.snapshot));
}

/** Serves whatever `routeOf` knows. */
export function createRouteListener(
  deps: McpRoutesDeps,
  routeOf: (url: string) => McpRoute | undefined,
): McpListener {
  return (request, response) => {
    const route = routeOf(request.url ?? "");
    if (route === undefined) return false;
    const startedMs = performance.now();
    const { pattern, transport, target } = route;
    const { method = "" } = request;
    const observe = () =>
      deps.metrics.observe(pattern, method, response.statusCode, performance.now() - startedMs);
    // A posted request ends with its answer; the stream of a GET, when its client goes.
    const streams = method === "GET";
    if (streams) response.once("close", observe);
    const requestId = deps.requestIdOf(request);
    deps.endpoint
      .serve({ request, response, requestId, target, transport })
      .then(streams ? undefined : observe, (error) => {
        deps.onFailure(error);
        response.destroy();
      });
    return true;
  };
}

function fixedRoutes(snapshot: () => Snapshot): ReadonlyMap<string, McpRoute> {
  const target = allTargets(snapshot);
  const routes: readonly McpRoute[] = [
    { pattern: "/mcp", transport: "streamable", target },
    { pattern: "/mcp/", transport: "streamable", target },
    { pattern: "/mcp/http", transport: "plain", target },
    { pattern: "/mcp/http/", transport: "plain", target },
  ];
  return new Map(routes.map((route) => [route.pattern, route]));
}

function routeOf(
  url: string,
  fixed: ReadonlyMap<string, McpRoute>,
  snapshot: () => Snapshot,
): McpRoute | undefined {
  const end = url.indexOf("?");
  const path = end < 0 ? url : url.slice(0, end);
  const known = fixed.get(path);
  if (known !== undefined) return known;
  if (path.startsWith("/mcp/")) return { pattern: "/mcp/*", transport: "streamable", target: nothing(url) };
  if (!path.startsWith("/servers/")) return undefined;
  const afterId = path.indexOf("/", serversLength);
  const rest = afterId < 0 ? "" : path.slice(afterId);
  if (rest !== "/mcp" && !rest.startsWith("/mcp/")) return undefined;
  const id = decoded(path.slice(serversLength, afterId));
  // Fastify refuses what cannot be decoded, whatever the path.
  if (id === undefined) return undefined;
  return rest === "/mcp" || rest === "/mcp/"
    ? {
        pattern: rest === "/mcp" ? "/servers/:id/mcp" : "/servers/:id/mcp/",
        transport: "streamable",
        target: serverTarget(snapshot, id),
      }
    : { pattern: "/servers/:id/mcp/*", transport: "streamable", target: nothing(url) };
}

const serversLength = "/servers/".length;

function decoded(text: string): string | undefined {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
