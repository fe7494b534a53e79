import { WireError } from "@gatewright/mcp-bridge";
import { readFilter, type SubscriptionFilter } from "@gatewright/mcp-bridge/bridge";
import type { Exchange } from "./exchange.ts";

/** Most resources that one session, or one `subscriptions/listen`, subscribes to. */
export const maxSubscriptions = 1_000;
/** Characters of all of them: those of a session are kept for the replica that may take it over. */
export const maxSubscriptionChars = 262_144;

/**
 * The filter of a `subscriptions/listen`.
 *
 * @throws {WireError} `invalid_params` when there is none, or it names too many resources; `invalid_request` when the
 *   client takes no stream
 */
export function wantedBy({ message, reply, idText }: Exchange): SubscriptionFilter {
  const wanted = message.params?.["notifications"];
  if (typeof wanted !== "object" || wanted === null || Array.isArray(wanted)) {
    throw new WireError("invalid_params", "params.notifications has to be an object", { idText });
  }
  if (!reply.streamable) {
    throw new WireError("invalid_request", "Accept has to name text/event-stream.", { idText });
  }
  const filter = readFilter(wanted);
  const uris = filter.resourceSubscriptions ?? [];
  const chars = uris.reduce((sum, { length }) => sum + length, 0);
  if (uris.length > maxSubscriptions || chars > maxSubscriptionChars) {
    const bounds = `at most ${maxSubscriptions} resources, of ${maxSubscriptionChars} characters in all`;
    throw new WireError("invalid_params", `params.notifications may name ${bounds}`, { idText });
  }
  return filter;
}
