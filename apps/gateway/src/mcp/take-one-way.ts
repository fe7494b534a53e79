import { type NotificationMessage, type ResponseMessage, textOf } from "@gatewright/mcp-bridge";
import type { DownstreamSession } from "../downstream/downstream-session.ts";

/** Takes what a client of a session sends without waiting for an answer. */
export function takeOneWay(
  session: DownstreamSession,
  message: NotificationMessage | ResponseMessage,
): Promise<void> {
  return message.kind === "response" ? answerQuestion(session, message) : takeNotification(session, message);
}

/** Hands a client's answer to the upstream that asked. */
async function answerQuestion(session: DownstreamSession, message: ResponseMessage): Promise<void> {
  const value = textOf(message.bytes, message.valueSpan);
  await session.questions.take(message.id)?.(
    message.outcome === "result" ? { result: value } : { error: value },
  );
}

/** A client's notification: a cancellation ends its call here; the rest goes to the upstreams it talks to. */
async function takeNotification(session: DownstreamSession, message: NotificationMessage): Promise<void> {
  if (message.method === "notifications/initialized") return;
  if (message.method === "notifications/cancelled") {
    const { requestId } = message.spans;
    if (requestId !== undefined) session.calls.get(textOf(message.bytes, requestId))?.abort();
    return;
  }
  // Servers without sessions know no notifications of clients: they ask anew with every call.
  const told = [...session.opened.keys()].filter((upstream) => upstream.era === "legacy");
  const { paramsSpan, bytes } = message;
  const params = paramsSpan === undefined ? undefined : bytes.subarray(paramsSpan.start, paramsSpan.end);
  await Promise.allSettled(
    told.map((upstream) => upstream.notify({ method: message.method, params: params?.toString() })),
  );
}
