import type { UpstreamCall } from "../calls/upstream-call.ts";
import type { ParamsChange } from "../calls/upstream-params.ts";
import type { Exchange } from "./exchange.ts";
import type { ForwardDeps } from "./forward-deps.ts";
import { relayMessage } from "./relay-message.ts";
import type { Caller } from "./upstream-access.ts";

/** Who calls, as sessions of upstreams are told apart by. */
export function callerOf(exchange: Exchange): Caller {
  const { principal, session, message } = exchange;
  return exchange.era === "modern" ? { principal, session, modern: message } : { principal, session };
}

/** Takes what an upstream says before its answer. */
export function relayTo(
  deps: ForwardDeps,
  exchange: Exchange,
  upstreamId: string,
): NonNullable<UpstreamCall["onMessage"]> {
  return (message, upstream) => {
    deps.hear(upstreamId, message);
    relayMessage(exchange, upstreamId, message, upstream);
  };
}

/** Tells of a request that was sent once more, as its session was lost or its credentials were refused. */
export function renewalOf({ metrics }: ForwardDeps, { trace }: Exchange): () => void {
  return () => {
    metrics.retried("new_session");
    trace?.renewed();
  };
}

/** What a traced call changes of its params: the upstream is told of the call's span. */
export function traced({ trace, message }: Exchange, change: ParamsChange): ParamsChange {
  return trace === undefined
    ? change
    : { ...change, meta: trace.meta(change.meta ?? message.params?.["_meta"]) };
}
