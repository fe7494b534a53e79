import { mcpHttpStatus } from "@gatewright/mcp-bridge";
import { completeModern } from "@gatewright/mcp-bridge/bridge";
import { type UpstreamAnswer, UpstreamError } from "@gatewright/mcp-bridge/upstream";
import { failureOf } from "../calls/call-failure.ts";
import { lasting } from "../calls/doubt.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Exchange } from "./exchange.ts";

/** Relays an answer: the upstream's bytes under the client's id, and in the words of the endpoint. */
export function relayAnswer(exchange: Exchange, upstream: UpstreamRecord, from: UpstreamAnswer): void {
  const { era, idText } = exchange;
  exchange.trace?.answered(from);
  const shown = shownAnswer(exchange, upstream, from);
  // Not any status: after 408, 421 and 425 HTTP clients repeat requests by themselves.
  const status = era === "modern" && shown.kind === "error" ? mcpHttpStatus(shown.httpStatus) : 200;
  exchange.reply.relay(shown.bytes, shown.idSpan, idText, status);
}

/** @throws {GatewayError} for an answer that cannot be read; the call was made all the same, and is not to be repeated */
function shownAnswer(
  { aggregator, message, era }: Exchange,
  { id, name }: UpstreamRecord,
  from: UpstreamAnswer,
): UpstreamAnswer {
  try {
    const whole = era === "modern" ? completeModern(from, message.method) : from;
    return aggregator === undefined ? whole : aggregator.exposeAnswer(id, message.method, whole);
  } catch (error) {
    if (!UpstreamError.is(error)) throw error;
    throw lasting(failureOf(error, name));
  }
}

/** Adds headers to the answer that is to come. */
export function setHeaders(exchange: Exchange, headers: Readonly<Record<string, string>>): void {
  for (const name in headers) exchange.reply.setHeader(name, headers[name] as string);
}
