import { BridgeError, type Claim } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import { failureOf } from "../calls/call-failure.ts";
import { GatewayError } from "../errors.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { CrossingDeps } from "./crossings.ts";
import type { Exchange } from "./exchange.ts";
import { ownerOf } from "./modern-client.ts";

/** How a call goes on that waited for its client. */
export type Resumption =
  | { readonly kind: "here"; readonly proceed: () => Promise<UpstreamAnswer> }
  /** Another replica holds it. */
  | { readonly kind: "elsewhere"; readonly answer: () => Promise<void> };

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
): Resumption | undefined {
  const { era, message, reply, signal } = exchange;
  const bridged = era === "modern" && upstream.self?.era !== "modern";
  if (!bridged || message.spans.requestState === undefined) return undefined;
  let claim: Claim;
  try {
    claim = deps.bridge.claim(message, ownerOf(exchange));
  } catch (error) {
    throw BridgeError.is(error) ? failureOf(error, upstream.name) : error;
  }
  if (claim.kind === "elsewhere") {
    const { replica } = claim;
    return { kind: "elsewhere", answer: () => askOwner(exchange, replica) };
  }
  const { proceed } = claim;
  const onHeard = (heard: Parameters<CrossingDeps["hear"]>[1]) => deps.hear(upstream.id, heard);
  const onNotification = (bytes: Buffer) => reply.message(bytes);
  return { kind: "here", proceed: () => proceed({ signal, onHeard, onNotification }) };
}

/** With the replica that held it, a call is lost: its upstream sees the connection end, and its client is told. */
async function askOwner({ forwardTo }: Exchange, replica: string): Promise<void> {
  const gone = "the replica that held this call is gone; whether it was executed is unknown";
  if (forwardTo === undefined) throw new GatewayError("outcome_unknown", gone);
  try {
    await forwardTo(replica);
  } catch (error) {
    const unknown = GatewayError.is(error) && error.code === "session_owner_unreachable" && !error.cause;
    throw unknown ? new GatewayError("outcome_unknown", gone) : error;
  }
}
