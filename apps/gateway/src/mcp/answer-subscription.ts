import { RPC } from "@gatewright/mcp-bridge";
import { localError, localResult } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type { Route } from "../calls/target.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";
import { isDeclaredShared } from "../upstreams/is-shared.ts";
import type { Exchange } from "./exchange.ts";
import type { Listening } from "./listening.ts";
import { endedMeanwhile } from "./resource-subscriptions.ts";

/** What subscriptions of clients with sessions work with. */
export interface SubscriptionDeps {
  readonly listening: Listening;
}

/** When to ask again for what an upstream has not said yet: before its stream is given up, so that it need not begin anew. */
const retryAfterMs = 2_000;

/** Error number of revisions with sessions. */
const resourceNotFound = -32_002;

/**
 * Answers `resources/subscribe` or `resources/unsubscribe` of a client with a session, where the upstream session is not
 * that client's own: the gateway listens for it. What the upstream does not take is refused, as one with sessions refuses it.
 *
 * @throws {GatewayError} `overloaded`; `session_owner_unreachable` when the session has ended here meanwhile
 */
export async function answerSubscription(
  { listening }: SubscriptionDeps,
  { message }: Exchange,
  session: DownstreamSession,
  { upstream, name }: Route,
): Promise<UpstreamAnswer> {
  const { method, params } = message;
  const uri = params?.["uri"];
  if (typeof uri !== "string") {
    return localError({ code: RPC.invalidParams, message: "params.uri has to be a string" }, 200);
  }
  if (method === "resources/unsubscribe") {
    listening.unsubscribe(session, upstream.id, name);
    return kept(session);
  }
  const { self } = upstream;
  const { subscribe } = (self?.capabilities["resources"] ?? {}) as { readonly subscribe?: unknown };
  if (self !== undefined && (self.era === "modern" || isDeclaredShared(upstream)) && subscribe !== true) {
    return localError({ code: RPC.methodNotFound, message: "Method not found: resources/subscribe" }, 200);
  }
  switch (await listening.subscribe(session, upstream.id, name)) {
    case "made":
      return kept(session);
    case "refused": {
      const message = "The upstream did not acknowledge the subscription.";
      return localError({ code: resourceNotFound, message, data: { uri } }, 200);
    }
    case "pending":
      return silent(upstream.name);
  }
}

/** The upstream says nothing, or nothing yet: as an answer, so that nothing here waits as long once more. */
function silent(upstreamName: string): UpstreamAnswer {
  const code = "upstream_timeout";
  const message = `${upstreamName} has not acknowledged the subscription yet; ask again`;
  const { rpcCode } = new GatewayError(code, message).surface;
  return localError({ code: rpcCode, message, data: { code, retryable: true, retryAfterMs } }, 200);
}

/**
 * Answers the same where an upstream knows sessions, but the client has none there of its own, as all share one: the upstream
 * would tell nobody in particular. Undefined for any other request.
 */
export function answerForShared(
  deps: SubscriptionDeps,
  exchange: Exchange,
  route: Route,
): Promise<UpstreamAnswer> | undefined {
  const { message, session } = exchange;
  const { upstream } = route;
  if (message.method !== "resources/subscribe" && message.method !== "resources/unsubscribe")
    return undefined;
  if (session === undefined || !isDeclaredShared(upstream) || upstream.self?.era === "modern")
    return undefined;
  return answerSubscription(deps, exchange, session, route);
}

/** Says that what a client wants is so, once the replica that may go on with its session would know. */
export async function kept(session: DownstreamSession): Promise<UpstreamAnswer> {
  await session.hold?.save();
  if (session.onEnd.ended) throw endedMeanwhile();
  return localResult("{}");
}
