import {
  type JsonObject,
  META,
  type NotificationMessage,
  type RequestMessage,
  RPC,
  textOf,
} from "@gatewright/mcp-bridge";
import { passesLogLevel, readLogLevel } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamMessage, UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { Exchange } from "./exchange.ts";

/** Passes on what an upstream says during a call, or answers for a client that cannot be asked. */
export function relayMessage(
  exchange: Exchange,
  upstreamId: string,
  message: UpstreamMessage,
  upstream: UpstreamSession,
): void {
  const { reply, session, aggregator } = exchange;
  if (message.kind === "notification") {
    if (exchange.era === "modern" && !passesLogLevel(message, logLevelOf(exchange.message))) return;
    if (session !== undefined && isWithdrawal(message)) {
      const told = session.questions.withdraw(message, upstream);
      if (told !== undefined && !reply.message(told)) session.deliver(told);
      return;
    }
    reply.message((aggregator?.exposeNotification(upstreamId, message) ?? message).bytes);
    return;
  }
  const asked = session !== undefined && reply.streamable ? session.questions : undefined;
  const bytes = asked?.relay(message, upstream, exchange.idText);
  if (bytes === undefined || !reply.message(bytes)) refuseQuestion(message, upstream);
}

/** Whether an upstream takes a question back. */
export function isWithdrawal({ method }: NotificationMessage): boolean {
  return method === "notifications/cancelled";
}

/** The level of log messages that a stateless client asked for with its request. */
function logLevelOf({ params }: RequestMessage): string | undefined {
  return readLogLevel((params?.["_meta"] as JsonObject | undefined)?.[META.logLevel]);
}

/** Answers a question that no client can be asked. */
export function refuseQuestion(message: UpstreamMessage, upstream: UpstreamSession): void {
  if (message.kind !== "request") return;
  const error = JSON.stringify({
    code: RPC.methodNotFound,
    message: "The client of this call cannot be asked.",
  });
  upstream.respond({ idText: textOf(message.bytes, message.idSpan), error }).catch(() => undefined);
}
