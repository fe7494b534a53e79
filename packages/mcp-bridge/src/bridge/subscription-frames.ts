import type { NotificationMessage } from "../message.ts";
import { META } from "../revisions.ts";
import { splice } from "../splice.ts";
import { strippedMembers } from "../upstream/request-body.ts";
import type { SubscriptionFilter } from "./subscription-filter.ts";

const META_OF = (idText: string) => `"_meta":{"${META.subscriptionId}":${idText}}`;

/** The first message of a subscription: what of the filter is honoured. `idText` is the listen request's raw id. */
export function encodeAcknowledged(idText: string, filter: SubscriptionFilter): string {
  const params = `{${META_OF(idText)},"notifications":${JSON.stringify(filter)}}`;
  return `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":${params}}`;
}

/** The last message of a subscription that ends in good order. */
export function encodeListenResult(idText: string): string {
  return `{"jsonrpc":"2.0","id":${idText},"result":{"resultType":"complete",${META_OF(idText)}}}`;
}

/** A notification as a listener gets it: under the id of its own subscription, otherwise unchanged. */
export function withSubscriptionId(message: NotificationMessage, idText: string): Buffer {
  const { bytes, paramsSpan, spans, methodSpan } = message;
  const { subscriptionId, meta } = spans;
  const member = `"${META.subscriptionId}":${idText}`;
  if (subscriptionId) return splice(bytes, [{ ...subscriptionId, text: idText }]);
  if (meta) return insert(bytes, meta.start + 1, member);
  if (paramsSpan) return insert(bytes, paramsSpan.start + 1, META_OF(idText));
  return splice(bytes, [
    { start: methodSpan.end, end: methodSpan.end, text: `,"params":{${META_OF(idText)}}` },
  ]);
}

/** A notification as a client with a session gets it: without the members that only stateless peers understand. */
export function withoutSubscriptionId(message: NotificationMessage): Buffer {
  return splice(message.bytes, strippedMembers(message.bytes, message.spans.meta));
}

/** Inserts a member directly behind an opening brace. */
function insert(bytes: Buffer, at: number, member: string): Buffer {
  let next = at;
  while ((bytes[next] ?? 0) <= 0x20) next++;
  const comma = bytes[next] === 0x7d ? "" : ",";
  return splice(bytes, [{ start: at, end: at, text: member + comma }]);
}
