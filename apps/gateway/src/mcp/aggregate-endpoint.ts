import { encodeResultBody, LEGACY_REVISIONS, RPC, WireError } from "@gatewright/mcp-bridge";
import {
  type ExposedItem,
  type NameRules,
  nameTable,
  type Route,
  type Target,
  upstreamsOf,
} from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import type { ItemKind } from "../registry/records.ts";
import { hopHeader, withVia } from "../upstreams/hop.ts";
import type { Exchange } from "./exchange.ts";
import { type ForwardDeps, forward, forwardPlainly } from "./forward.ts";
import { matchesTemplate } from "./uri-template.ts";

/** What the aggregated endpoint works with beside forwarding. */
export interface AggregateDeps extends ForwardDeps {
  readonly names: NameRules;
  /** The gateway's own name among deployments. */
  readonly hopId: string;
  /** Waits until upstreams that were never listed have been, or could not be reached; bounded. */
  readonly catalogueReady: () => Promise<void>;
}

const lists: Readonly<
  Record<string, { readonly kind: ItemKind; readonly field: string; readonly key: string }>
> = {
  "tools/list": { kind: "tool", field: "tools", key: "name" },
  "prompts/list": { kind: "prompt", field: "prompts", key: "name" },
  "resources/list": { kind: "resource", field: "resources", key: "uri" },
  "resources/templates/list": { kind: "resource_template", field: "resourceTemplates", key: "uriTemplate" },
};

const logLevels = new Set(["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]);

/** Serves several upstreams as one: lists are merged, names prefixed, calls sent where the name leads. */
export async function serveAggregate(deps: AggregateDeps, exchange: Exchange): Promise<void> {
  const { message, era, reply, idText, target } = exchange;
  const { method } = message;
  if (era === "modern") return refuseModern(exchange);
  if (method === "ping") return reply.answer(encodeResultBody(idText, "{}"));
  const list = Object.hasOwn(lists, method) ? lists[method] : undefined;
  if (list !== undefined) {
    // Lists come in one page, so no cursor is ever given out.
    if (message.params?.["cursor"] !== undefined) throw invalidParams(exchange, "params.cursor is unknown");
    await deps.catalogueReady();
    const { items } = nameTable(deps.snapshot(), target, list.kind, deps.names);
    // Another gateway is told whence the items come; others see what the upstream said.
    const asked = exchange.headers[hopHeader] !== undefined;
    const shown = items.map((item) => ({
      ...(asked ? withVia(item.body, deps.hopId) : item.body),
      [list.key]: item.exposed,
    }));
    return reply.answer(encodeResultBody(idText, JSON.stringify({ [list.field]: shown })));
  }
  switch (method) {
    case "tools/call":
      return forward(
        deps,
        exchange,
        await routeByName(deps, exchange, "tool", stringParam(exchange, "name")),
      );
    case "prompts/get":
      return forward(
        deps,
        exchange,
        await routeByName(deps, exchange, "prompt", stringParam(exchange, "name")),
      );
    case "resources/read":
      return forward(deps, exchange, await routeByUri(deps, exchange, stringParam(exchange, "uri")));
    case "resources/subscribe":
    case "resources/unsubscribe":
      return forwardPlainly(
        deps,
        exchange,
        await routeByUri(deps, exchange, stringParam(exchange, "uri")),
        {},
      );
    case "completion/complete":
      return complete(deps, exchange);
    case "logging/setLevel":
      return setLevel(deps, exchange);
    default:
      throw unknownMethod(method);
  }
}

/** Tells a modern client which revisions are spoken here, so that it falls back to a handshake. */
function refuseModern(exchange: Exchange): never {
  throw new WireError("unsupported_version", "Unsupported protocol version", {
    idText: exchange.idText,
    details: { supported: LEGACY_REVISIONS },
  });
}

/** The refusal of a method that nobody behind this endpoint can be asked for. */
export function unknownMethod(method: string): GatewayError {
  return new GatewayError("validation_failed", `Method not found: ${method}`, {
    rpcCode: RPC.methodNotFound,
    httpStatus: 200,
    publicCode: "method_not_found",
  });
}

async function routeByName(
  deps: AggregateDeps,
  exchange: Exchange,
  kind: "tool" | "prompt",
  name: string,
): Promise<Route> {
  let route = nameTable(deps.snapshot(), exchange.target, kind, deps.names).routes.get(name);
  if (route === undefined) {
    await deps.catalogueReady();
    route = nameTable(deps.snapshot(), exchange.target, kind, deps.names).routes.get(name);
  }
  if (route === undefined) throw unknown(kind, name);
  return route;
}

async function routeByUri(deps: AggregateDeps, exchange: Exchange, uri: string): Promise<Route> {
  await deps.catalogueReady();
  const snapshot = deps.snapshot();
  const { target } = exchange;
  const listed = nameTable(snapshot, target, "resource", deps.names).routes.get(uri);
  if (listed !== undefined) return listed;
  const matching = (item: ExposedItem) => matchesTemplate(item.name, uri);
  const template = nameTable(snapshot, target, "resource_template", deps.names).items.find(matching);
  if (template !== undefined) return { upstream: template.upstream, name: uri };
  const [only, second] = upstreamsOf(snapshot, target);
  if (only !== undefined && second === undefined) return { upstream: only, name: uri };
  throw unknown("resource", uri);
}

async function complete(deps: AggregateDeps, exchange: Exchange): Promise<void> {
  const { message } = exchange;
  const ref = message.params?.["ref"];
  const { type, name, uri } = (typeof ref === "object" && ref !== null ? ref : {}) as Record<string, unknown>;
  if (type === "ref/prompt" && typeof name === "string") {
    const route = await routeByName(deps, exchange, "prompt", name);
    return forwardPlainly(deps, exchange, route, { ref: { ...(ref as object), name: route.name } });
  }
  if (typeof uri !== "string") throw invalidParams(exchange, "params.ref has to name a prompt or a resource");
  await deps.catalogueReady();
  const templates = nameTable(deps.snapshot(), exchange.target, "resource_template", deps.names).routes;
  return forwardPlainly(deps, exchange, templates.get(uri) ?? (await routeByUri(deps, exchange, uri)), {});
}

/** Sets the level at every upstream that the client has a session with and that logs. */
async function setLevel(deps: AggregateDeps, exchange: Exchange): Promise<void> {
  const { message, session, reply, idText } = exchange;
  const level = stringParam(exchange, "level");
  if (!logLevels.has(level)) {
    throw invalidParams(exchange, `params.level has to be one of ${[...logLevels].join(", ")}`);
  }
  const { paramsSpan, bytes } = message;
  const params = paramsSpan === undefined ? undefined : bytes.subarray(paramsSpan.start, paramsSpan.end);
  const logging = [...(session?.opened.keys() ?? [])].filter(
    (upstream) => "logging" in upstream.capabilities,
  );
  await Promise.allSettled(
    logging.map((upstream) =>
      upstream.request({ method: message.method, params }, { timeoutMs: deps.attemptTimeoutMs }),
    ),
  );
  reply.answer(encodeResultBody(idText, "{}"));
}

function stringParam(exchange: Exchange, key: string): string {
  const value = exchange.message.params?.[key];
  if (typeof value !== "string") throw invalidParams(exchange, `params.${key} has to be a string`);
  return value;
}

function invalidParams(exchange: Exchange, text: string): WireError {
  return new WireError("invalid_params", text, { idText: exchange.idText });
}

function unknown(kind: string, name: string): GatewayError {
  return new GatewayError("not_found", `Unknown ${kind}: ${name}`, { httpStatus: 200 });
}

/** Capabilities of several upstreams as one: whatever any of them has. */
export function mergedCapabilities(
  deps: Pick<AggregateDeps, "snapshot">,
  target: Target,
): Record<string, unknown> {
  const merged: Record<string, unknown> = {};
  for (const { self } of upstreamsOf(deps.snapshot(), target)) {
    for (const key of ["tools", "prompts", "resources", "completions", "logging"]) {
      const value = self?.capabilities[key];
      if (value === undefined) continue;
      merged[key] = { ...(merged[key] as object | undefined), ...(value as object) };
    }
  }
  return "tools" in merged ? merged : { tools: {}, ...merged };
}
