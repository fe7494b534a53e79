import { type Message, type NotificationMessage, type ResponseMessage, textOf } from "@gatewright/mcp-bridge";
import { UpstreamError } from "@gatewright/mcp-bridge/upstream";
import { failureOf } from "../calls/call-failure.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";

/** Whether a message ends a question or a call, and so makes room: it is never refused for want of it. */
export function endsSomething(message: Message): boolean {
  if (message.kind === "response") return true;
  return message.kind === "notification" && message.method === "notifications/cancelled";
}

/**
 * Takes what a client of a session sends without waiting for an answer.
 *
 * @throws {GatewayError} `overloaded` for a notification that an upstream has no room for; for an answer when the upstream
 *   that asked does not take it: nobody is told twice, so that sending it again is of no use
 */
export function takeOneWay(
  session: DownstreamSession,
  message: NotificationMessage | ResponseMessage,
): Promise<void> {
  return message.kind === "response" ? takeAnswer(session, message) : takeNotification(session, message);
}

async function takeAnswer(session: DownstreamSession, message: ResponseMessage): Promise<void> {
  try {
    await session.questions.answer(message);
  } catch (error) {
    if (!UpstreamError.is(error)) throw error;
    const { code, message: text, facts } = failureOf(error, "the upstream that asked");
    throw new GatewayError(code, text, { ...facts, retryable: false });
  }
}

/**
 * A client's notification: a cancellation ends its call here, whatever else is under way; progress goes to the upstream that
 * asked; the rest to all that the client talks to.
 */
async function takeNotification(session: DownstreamSession, message: NotificationMessage): Promise<void> {
  if (message.method === "notifications/initialized") return;
  if (message.method === "notifications/cancelled") {
    const { requestId } = message.spans;
    if (requestId !== undefined) session.calls.get(textOf(message.bytes, requestId))?.abort();
    return;
  }
  const { method } = message;
  if (method === "notifications/progress") {
    const meant = session.questions.progress(message);
    if (meant !== undefined)
      await session.outboxOf(meant.upstream).notify({ method, params: meant.params?.toString() });
    return;
  }
  // Servers without sessions know no notifications of clients: they ask anew with every call.
  const told = [...session.opened.keys()].filter((upstream) => upstream.era === "legacy");
  const { paramsSpan, bytes } = message;
  const params = paramsSpan === undefined ? undefined : bytes.subarray(paramsSpan.start, paramsSpan.end);
  const notification = { method, params: params?.toString() };
  // Each upstream gets it as soon as it can, whatever becomes of it at the others.
  const ends = await Promise.allSettled(
    told.map((upstream) => session.outboxOf(upstream).notify(notification)),
  );
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
