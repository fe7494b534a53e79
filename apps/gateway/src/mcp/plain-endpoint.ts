import { encodeErrorBody, encodeResultBody, LEGACY_REVISIONS, RPC } from "@gatewright/mcp-bridge";
import type { Target } from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Exchange } from "./exchange.ts";
import { type ForwardDeps, forward } from "./forward.ts";

/** Serves one upstream unchanged: names, lists and everything unknown are the upstream's own. */
export function servePlain(
  deps: ForwardDeps,
  exchange: Exchange,
  target: Extract<Target, { kind: "plain" }>,
): Promise<void> {
  const { message, era, reply, idText } = exchange;
  if (message.method === "ping" && era !== "modern") {
    reply.answer(encodeResultBody(idText, "{}"));
    return Promise.resolve();
  }
  const upstream = upstreamOf(deps, target.upstreamId);
  if (era === "modern" && upstream.self?.era === "legacy") {
    refuseModern(exchange);
    return Promise.resolve();
  }
  const name = message.params?.[message.method === "resources/read" ? "uri" : "name"];
  return forward(deps, exchange, { upstream, name: typeof name === "string" ? name : "" });
}

/** Tells a modern client which revisions are spoken here, so that it falls back to a handshake. */
export function refuseModern(exchange: Exchange): void {
  const body = encodeErrorBody({
    idText: exchange.idText,
    code: RPC.unsupportedProtocolVersion,
    message: "Unsupported protocol version",
    data: {
      supported: LEGACY_REVISIONS,
      code: "unsupported_version",
      retryable: false,
      requestId: exchange.requestId,
    },
  });
  exchange.reply.answer(body, 400);
}

/** The record of an upstream as it is now. */
export function upstreamOf(deps: Pick<ForwardDeps, "snapshot">, id: string): UpstreamRecord {
  const upstream = deps.snapshot().upstreams.get(id);
  if (upstream === undefined) throw new GatewayError("not_found", "the gateway of this server is gone");
  return upstream;
}
