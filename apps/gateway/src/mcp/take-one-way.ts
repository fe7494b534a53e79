import { type NotificationMessage, type ResponseMessage, textOf } from "@gatewright/mcp-bridge";
import { UpstreamError } from "@gatewright/mcp-bridge/upstream";
import { failureOf } from "../calls/call-failure.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";

/** Notifications of one session that its upstreams have not taken yet: each holds a connection of an upstream. */
const maxNotifying = 16;

/**
 * Takes what a client of a session sends without waiting for an answer.
 *
 * @throws {GatewayError} `overloaded` for a notification where too many were not taken yet; when the upstream that asked does not take the answer; nobody is told twice, so that sending it
 *   again is of no use
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
  if (session.notifying >= maxNotifying) {
    const text = "the upstreams have not taken earlier notifications of this session yet";
    throw new GatewayError("overloaded", text, { retryAfterMs: 1_000 });
  }
  session.notifying++;
  try {
    await passOn(session, message);
  } finally {
    session.notifying--;
  }
}

async function passOn(session: DownstreamSession, message: NotificationMessage): Promise<void> {
  const { method } = message;
  if (method === "notifications/progress") {
    const meant = session.questions.progress(message);
    await meant?.upstream.notify({ method, params: meant.params }).catch(() => undefined);
    return;
  }
  // Servers without sessions know no notifications of clients: they ask anew with every call.
  const told = [...session.opened.keys()].filter((upstream) => upstream.era === "legacy");
  const { paramsSpan, bytes } = message;
  const params = paramsSpan === undefined ? undefined : bytes.subarray(paramsSpan.start, paramsSpan.end);
  await Promise.allSettled(told.map((upstream) => upstream.notify({ method, params: params?.toString() })));
}
