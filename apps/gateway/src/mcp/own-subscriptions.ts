import type { UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { Route } from "../calls/target.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import type { ShowNotification } from "./client-contexts.ts";
import type { Exchange } from "./exchange.ts";
import { maxSubscriptionChars, maxSubscriptions } from "./listen-filter.ts";
import { resourceUpdated } from "./resource-updated.ts";

/** Longest wait for an upstream to take a subscription once more. */
const maxSubscribeMs = 5_000;

/**
 * Remembers what an upstream has granted to the client's own session there, so that it outlives that session: an upstream
 * that was restarted knows nothing of it. Beyond the bounds of a session nothing more is remembered.
 */
export async function rememberSubscription({ message, session }: Exchange, route: Route): Promise<void> {
  const { method } = message;
  if (session === undefined || (method !== "resources/subscribe" && method !== "resources/unsubscribe"))
    return;
  const { upstream, name: uri } = route;
  // The gateway itself listens for it.
  if (session.subscriptions.get(upstream.id)?.has(uri) === true) return;
  const known = session.ownSubscriptions;
  const uris = known.get(upstream.id) ?? new Set();
  if (method === "resources/unsubscribe") uris.delete(uri);
  else if (!uris.has(uri) && hasRoom(known, uri)) uris.add(uri);
  else return;
  if (uris.size > 0) known.set(upstream.id, uris);
  else known.delete(upstream.id);
  await session.hold?.save();
}

/**
 * Makes them once more in a session that replaces another one, in the background; changes until then may have been missed,
 * so the client is told of one.
 */
export function subscribeAgain(
  session: DownstreamSession,
  upstreamId: string,
  upstream: UpstreamSession,
  show: ShowNotification,
): void {
  const again = async () => {
    for (const uri of [...(session.ownSubscriptions.get(upstreamId) ?? [])]) {
      const { kind } = await upstream.request(
        { method: "resources/subscribe", params: JSON.stringify({ uri }) },
        { timeoutMs: maxSubscribeMs },
      );
      const message = kind === "result" ? resourceUpdated(uri) : undefined;
      const shown = message && show(session, upstreamId, message);
      if (shown !== undefined) session.deliver(shown.bytes);
    }
  };
  // A session that fails so soon is opened anew for the next call, and this with it.
  again().catch(() => undefined);
}

function hasRoom(known: DownstreamSession["ownSubscriptions"], uri: string): boolean {
  const uris = [...known.values()].flatMap((each) => [...each]);
  const chars = uris.reduce((sum, { length }) => sum + length, uri.length);
  return uris.length < maxSubscriptions && chars <= maxSubscriptionChars;
}
