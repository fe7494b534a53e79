import { BridgeError } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import { failureOf } from "../calls/call-failure.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { CrossingDeps } from "./crossings.ts";
import type { Exchange } from "./exchange.ts";
import { ownerOf } from "./modern-client.ts";

/**
 * How a call goes on that waited for its client; undefined when the request begins a call. The `requestState` of an
 * upstream that knows no sessions is its own affair.
 *
 * @throws {WireError} `invalid_params` when the state is not good for this call; {GatewayError} `outcome_unknown` when
 *   the call is gone
 */
export function resumptionOf(
  deps: CrossingDeps,
  exchange: Exchange,
  upstream: UpstreamRecord,
): (() => Promise<UpstreamAnswer>) | undefined {
  const { era, message, reply, signal } = exchange;
  const bridged = era === "modern" && upstream.self?.era !== "modern";
  if (!bridged || message.spans.requestState === undefined) return undefined;
  try {
    const claim = deps.bridge.claim(message, ownerOf(exchange));
    if (claim.kind === "elsewhere") {
      throw new BridgeError("outcome_unknown", "the replica that held the call is gone");
    }
    return () =>
      claim.proceed({
        signal,
        onHeard: (heard) => deps.hear(upstream.id, heard),
        onNotification: (bytes) => reply.message(bytes),
      });
  } catch (error) {
    throw BridgeError.is(error) ? failureOf(error, upstream.name) : error;
  }
}
