import { UpstreamError, type UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { Route } from "../calls/target.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import type { ShowNotification } from "./client-contexts.ts";
import type { Exchange } from "./exchange.ts";
import { maxSubscriptionChars, maxSubscriptions } from "./listen-filter.ts";
import { resourceUpdated } from "./resource-updated.ts";

/** Longest wait for an upstream to take a subscription once more. */
const maxSubscribeMs = 5_000;
/** How many are made at once, so that one that is not answered does not keep all others waiting. */
const atOnce = 8;

/**
 * Remembers what an upstream has granted to the client's own session there, so that it outlives that session: an upstream
 * that was restarted knows nothing of it. Beyond the bounds of a session nothing more is remembered.
 */
export async function rememberSubscription({ message, session }: Exchange, route: Route): Promise<void> {
  if (session === undefined || message.method !== "resources/subscribe") return;
  const { upstream, name: uri } = route;
  const known = session.ownSubscriptions;
  const uris = known.get(upstream.id) ?? new Set();
  // The gateway itself may listen for it.
  if (session.subscriptions.get(upstream.id)?.has(uri) || uris.has(uri) || !hasRoom(known, uri)) return;
  known.set(upstream.id, uris.add(uri));
  await session.hold?.save();
}

/** Forgets what a client gives up, before the upstream hears of it: what is made anew meanwhile is taken back then. */
export function forgetSubscription({ message, session }: Exchange, route: Route): void {
  if (session === undefined || message.method !== "resources/unsubscribe") return;
  const uris = session.ownSubscriptions.get(route.upstream.id);
  if (uris?.delete(route.name) !== true) return;
  if (uris.size === 0) session.ownSubscriptions.delete(route.upstream.id);
  void session.hold?.save();
}

/**
 * Makes them once more in a session that replaces another one, in the background. Changes until then may have been missed,
 * and one that is not granted any more has changed, too: so the client is told of one of each.
 */
export function subscribeAgain(
  session: DownstreamSession,
  upstreamId: string,
  upstream: UpstreamSession,
  show: ShowNotification,
): void {
  const wanted = (uri: string) => session.ownSubscriptions.get(upstreamId)?.has(uri) === true;
  const ask = async (what: "subscribe" | "unsubscribe", uri: string) => {
    const params = JSON.stringify({ uri });
    await upstream.request({ method: `resources/${what}`, params }, { timeoutMs: maxSubscribeMs });
  };
  const queue = [...(session.ownSubscriptions.get(upstreamId) ?? [])].values();
  const worker = async () => {
    for (const uri of queue) {
      if (!wanted(uri)) continue;
      try {
        await ask("subscribe", uri);
      } catch (error) {
        // Another session will be opened, and this with it.
        if (UpstreamError.is(error) && (error.code === "closed" || error.code === "session_lost")) return;
      }
      if (wanted(uri)) tell(session, upstreamId, uri, show);
      else await ask("unsubscribe", uri).catch(() => undefined);
    }
  };
  for (let n = 0; n < atOnce; n++) void worker();
}

function tell(session: DownstreamSession, upstreamId: string, uri: string, show: ShowNotification): void {
  const message = resourceUpdated(uri);
  const shown = message && show(session, upstreamId, message);
  if (shown !== undefined) session.deliver(shown.bytes);
}

function hasRoom(known: DownstreamSession["ownSubscriptions"], uri: string): boolean {
  const uris = [...known.values()].flatMap((each) => [...each]);
  const chars = uris.reduce((sum, { length }) => sum + length, uri.length);
  return uris.length < maxSubscriptions && chars <= maxSubscriptionChars;
}
