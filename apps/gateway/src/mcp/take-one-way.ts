import { type Message, type NotificationMessage, type ResponseMessage, textOf } from "@gatewright/mcp-bridge";
import { UpstreamError, type UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import { failureOf } from "../calls/call-failure.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";

/**
 * How long a notification is waited for: an upstream that is well has it before the client's next request, and one that is
 * not holds nobody up.
 */
const passedOnMs = 1_000;

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
  const pending: Promise<void>[] = [];
  let refusal: unknown;
  for (const { upstream, params } of meantFor(session, message)) {
    try {
      pending.push(session.outboxOf(upstream).notify({ method, params }));
    } catch (error) {
      refusal ??= error;
    }
  }
  if (pending.length > 0) await atMost(passedOnMs, Promise.all(pending));
  if (refusal !== undefined) throw refusal;
}

/** Whom a notification is for: progress for the upstream that asked; the rest for all that the client talks to. */
function meantFor(
  session: DownstreamSession,
  message: NotificationMessage,
): { readonly upstream: UpstreamSession; readonly params: string | undefined }[] {
  if (message.method === "notifications/progress") {
    const meant = session.questions.progress(message);
    return meant === undefined ? [] : [{ upstream: meant.upstream, params: meant.params?.toString() }];
  }
  const { paramsSpan, bytes } = message;
  const params = paramsSpan === undefined ? undefined : textOf(bytes, paramsSpan);
  // Servers without sessions know no notifications of clients: they ask anew with every call.
  const told = [...session.opened.keys()].filter((upstream) => upstream.era === "legacy");
  return told.map((upstream) => ({ upstream, params }));
}

async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
