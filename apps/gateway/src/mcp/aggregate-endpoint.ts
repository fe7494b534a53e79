import {
  encodeResultBody,
  type JsonObject,
  META,
  RPC,
  SUPPORTED_REVISIONS,
  WireError,
} from "@gatewright/mcp-bridge";
import {
  type Aggregator,
  LIST_KINDS,
  type ListMethod,
  readLogLevel,
  type SubscriptionFilter,
} from "@gatewright/mcp-bridge/bridge";
import { type Route, renewed, type Target, upstreamsOf } from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import { gatewayIdentity } from "../upstreams/gateway-identity.ts";
import { chainOf, hopHeader, withVia } from "../upstreams/hop.ts";
import { type Aggregates, listKinds } from "./aggregates.ts";
import { answerForShared } from "./answer-subscription.ts";
import type { Exchange } from "./exchange.ts";
import { forward } from "./forward.ts";
import type { ForwardDeps } from "./forward-deps.ts";
import { forwardPlainly } from "./forward-plainly.ts";
import { wantedBy } from "./listen-filter.ts";
import { ownCredential } from "./upstream-access.ts";

/** What the aggregated endpoint works with beside forwarding. */
export interface AggregateDeps extends ForwardDeps {
  readonly aggregates: Aggregates;
  /** The gateway's own name among deployments. */
  readonly hopId: string;
  /** Waits until upstreams that were never listed have been, or could not be reached; bounded. */
  readonly catalogueReady: () => Promise<void>;
}

/** Serves several upstreams as one: lists are merged, names prefixed, calls sent where the name leads. */
export async function serveAggregate(deps: AggregateDeps, plain: Exchange): Promise<void> {
  const aggregator = deps.aggregates.of(plain.target);
  const exchange: Exchange = { ...plain, aggregator };
  const { message, era, reply, idText } = exchange;
  const { method } = message;
  if (Object.hasOwn(listKinds, method)) return list(deps, exchange, method as ListMethod);
  switch (method) {
    case "tools/call":
    case "prompts/get":
    case "resources/read":
      return forward(deps, exchange, await routeOf(deps, exchange, aggregator));
    case "completion/complete": {
      const route = await routeOf(deps, exchange, aggregator);
      const ref = message.params?.["ref"] as JsonObject;
      const named = ref["type"] === "ref/prompt" ? { name: route.name } : { uri: route.name };
      return forwardPlainly(deps, exchange, route, { ref: { ...ref, ...named } });
    }
  }
  if (era === "modern") {
    if (method === "server/discover") {
      await deps.catalogueReady();
      return reply.answer(encodeResultBody(idText, JSON.stringify(discovered(deps, exchange.target))));
    }
    if (method === "subscriptions/listen") {
      const wanted = wantedBy(exchange);
      return deps.listening.serve(exchange, wanted, () => filtersOf(deps, exchange, wanted));
    }
    throw unknownMethod(method, 404);
  }
  switch (method) {
    case "ping":
      return reply.answer(encodeResultBody(idText, "{}"));
    case "resources/subscribe":
    case "resources/unsubscribe": {
      const route = await routeOf(deps, exchange, aggregator);
      const answered = await answerForShared(deps, exchange, route);
      if (answered === undefined) return forwardPlainly(deps, exchange, route, { uri: route.name });
      return reply.relay(answered.bytes, answered.idSpan, idText);
    }
    case "logging/setLevel":
      return setLevel(deps, exchange);
    default:
      throw unknownMethod(method, 200);
  }
}

/** The refusal of a method that nobody behind this endpoint can be asked for. */
function unknownMethod(method: string, httpStatus: number): GatewayError {
  return new GatewayError("validation_failed", `Method not found: ${method}`, {
    rpcCode: RPC.methodNotFound,
    httpStatus,
    publicCode: "method_not_found",
  });
}

async function list(deps: AggregateDeps, exchange: Exchange, method: ListMethod): Promise<void> {
  const { message, era, reply, idText, target, headers, signal } = exchange;
  const cursor = message.params?.["cursor"];
  if (cursor !== undefined && typeof cursor !== "string") {
    throw new WireError("invalid_params", "params.cursor has to be a string", { idText });
  }
  // What came through other gateways is listed for itself, so that a circle of them ends.
  const context = chainOf(headers[hopHeader]);
  const { aggregates } = deps;
  const aggregator = context === "" ? aggregates.of(target) : aggregates.chained(target);
  const scope = JSON.stringify([target.id ?? "", context]);
  const viewer = viewerOf(deps, exchange);
  const request = { method, cursor, modern: era === "modern", scope, viewer, context, signal };
  const result = await aggregator.list(request).catch((error) => {
    throw WireError.is(error) ? new WireError(error.code, error.message, { idText }) : error;
  });
  reply.answer(encodeResultBody(idText, context === "" ? result : marked(result, deps.hopId)));
}

/** Whose list of an upstream it is that the caller sees: one's own where one has credentials of one's own. */
function viewerOf(deps: AggregateDeps, { principal }: Exchange): (upstreamId: string) => string | undefined {
  const { upstreams } = deps.snapshot();
  return (id) => {
    const upstream = upstreams.get(id);
    return upstream && ownCredential(upstream, principal);
  };
}

/** Another gateway is told whence the items come; others see what the upstream said. */
function marked(result: string, hopId: string): string {
  const entries = Object.entries(JSON.parse(result) as JsonObject).map(([key, value]) => [
    key,
    Array.isArray(value) ? value.map((item: JsonObject) => withVia(item, hopId)) : value,
  ]);
  return JSON.stringify(Object.fromEntries(entries));
}

/**
 * Where a request leads.
 *
 * @throws {GatewayError} `not_found` when what it names is nobody's; {WireError} `invalid_params` when it names nothing
 */
async function routeOf(deps: AggregateDeps, exchange: Exchange, aggregator: Aggregator): Promise<Route> {
  const { message, target, signal, idText } = exchange;
  const scope = JSON.stringify([target.id ?? "", ""]);
  const viewer = viewerOf(deps, exchange);
  const item = await aggregator.locate(message, { scope, viewer, context: "", signal });
  const upstream = item && deps.snapshot().upstreams.get(item.upstreamId);
  if (item !== undefined && upstream !== undefined) return { upstream, name: item.name };
  const { name, uri, ref } = message.params ?? {};
  const { type, name: refName, uri: refUri } = (ref ?? {}) as JsonObject;
  const named = name ?? refName ?? uri ?? refUri;
  if (typeof named !== "string") {
    throw new WireError("invalid_params", "params has to name a tool, a prompt or a resource", { idText });
  }
  const kind = message.method === "tools/call" ? "tool" : (name ?? refName) ? "prompt" : "resource";
  throw new GatewayError("not_found", `Unknown ${type === "ref/resource" ? "resource" : kind}: ${named}`, {
    httpStatus: 200,
  });
}

/** What of the upstreams a listener wants to hear, by upstream and in its own words. */
function filtersOf(
  deps: AggregateDeps,
  exchange: Exchange,
  wanted: SubscriptionFilter,
): ReadonlyMap<string, SubscriptionFilter> {
  const target = renewed(deps.snapshot(), exchange.target) ?? exchange.target;
  const aggregator = deps.aggregates.of(target);
  const uris = new Map<string, string[]>();
  for (const exposed of wanted.resourceSubscriptions ?? []) {
    const item = aggregator.resolveUri(exposed);
    if (item === undefined) continue;
    const own = uris.get(item.upstreamId);
    if (own === undefined) uris.set(item.upstreamId, [item.name]);
    else own.push(item.name);
  }
  const lists = Object.fromEntries(
    LIST_KINDS.filter((kind) => wanted[kind] === true).map((kind) => [kind, true]),
  );
  const any = Object.keys(lists).length > 0;
  const filters = new Map<string, SubscriptionFilter>();
  for (const { id } of upstreamsOf(deps.snapshot(), target)) {
    const own = uris.get(id);
    if (any || own !== undefined) filters.set(id, { ...lists, ...(own && { resourceSubscriptions: own }) });
  }
  return filters;
}

/** Sets the level for every upstream that the client talks to, now or later, and that logs. */
async function setLevel(deps: AggregateDeps, exchange: Exchange): Promise<void> {
  const { message, session, reply, idText } = exchange;
  const level = readLogLevel(message.params?.["level"]);
  if (level === undefined) {
    throw new WireError("invalid_params", "params.level has to be a level of RFC 5424, like info", {
      idText,
    });
  }
  if (session !== undefined) {
    session.logLevel = level;
    await session.hold?.save();
  }
  const params = JSON.stringify({ level });
  const told = [...(session?.opened.keys() ?? [])].filter((upstream) => {
    return upstream.era === "legacy" && "logging" in upstream.capabilities;
  });
  await Promise.allSettled(
    told.map((upstream) =>
      upstream.request({ method: message.method, params }, { timeoutMs: deps.attemptTimeoutMs }),
    ),
  );
  reply.answer(encodeResultBody(idText, "{}"));
}

function discovered(deps: AggregateDeps, target: Target): JsonObject {
  return {
    resultType: "complete",
    supportedVersions: SUPPORTED_REVISIONS,
    capabilities: mergedCapabilities(deps, target),
    ttlMs: 0,
    cacheScope: "private",
    _meta: { [META.serverInfo]: gatewayIdentity },
  };
}

/** What changes with the upstreams, so that clients are told of it. */
const lists: ReadonlySet<string> = new Set(["tools", "prompts", "resources"]);

/** Capabilities of several upstreams as one: whatever any of them has. Its lists change with the upstreams. */
export function mergedCapabilities(
  deps: Pick<AggregateDeps, "snapshot">,
  target: Target,
): Record<string, unknown> {
  const merged: Record<string, unknown> = { tools: { listChanged: true } };
  for (const { self } of upstreamsOf(deps.snapshot(), target)) {
    for (const key of ["tools", "prompts", "resources", "completions", "logging"]) {
      const value = self?.capabilities[key];
      if (value === undefined) continue;
      const changes = lists.has(key) ? { listChanged: true } : undefined;
      merged[key] = { ...(merged[key] as object | undefined), ...(value as object), ...changes };
    }
  }
  return merged;
}
