import type { ResumableSession } from "@gatewright/mcp-bridge/upstream";
import type { SessionState, UpstreamSessionId } from "@gatewright/session-pool/redis";
import type { Target } from "../calls/target.ts";
import type { ClientHello, DownstreamSession } from "../downstream/downstream-session.ts";

/** A session as its next owner needs it. */
export interface KeptSession {
  readonly hello: ClientHello;
  readonly target: Target;
  /** Upstream sessions to go on with, by upstream. */
  readonly resumable: ReadonlyMap<string, ResumableSession>;
  readonly logLevel: string | undefined;
  readonly subscriptions: Subscriptions;
  readonly ownSubscriptions: Subscriptions;
}

/** URIs by upstream. */
type Subscriptions = ReadonlyMap<string, ReadonlySet<string>>;

/** What a client said of itself and what it wants, as it is kept with the owner record. */
export function keptState(session: DownstreamSession): SessionState {
  const { hello, target, logLevel, subscriptions, ownSubscriptions } = session;
  return {
    hello: JSON.stringify(hello),
    target: JSON.stringify(target),
    ...(logLevel !== undefined && { logLevel }),
    ...(subscriptions.size > 0 && { subscriptions: encode(subscriptions) }),
    ...(ownSubscriptions.size > 0 && { ownSubscriptions: encode(ownSubscriptions) }),
  };
}

/** The upstream sessions of a session, as they are kept with the owner record. */
export function keptUpstreams({ opened, resumable }: DownstreamSession): UpstreamSessionId[] {
  const open = [...opened].flatMap(([session, serverId]): UpstreamSessionId[] => {
    const { continuation } = session;
    if (continuation.kind === "stateless") return [];
    return [continuation.kind === "bound" ? { serverId, resumable: false } : entryOf(serverId, continuation)];
  });
  // Those that were taken over and not used yet are still to be had.
  return [...open, ...[...resumable].map(([serverId, session]) => entryOf(serverId, session))];
}

/**
 * Reads again what {@link keptState} and {@link keptUpstreams} wrote; `undefined` when it does not say who the client is and
 * what it asked for: opened without, its session would begin anew in silence.
 */
export function readState(kept: {
  readonly state: SessionState;
  readonly upstream: readonly UpstreamSessionId[];
}): KeptSession | undefined {
  const { hello, target } = kept.state;
  if (hello === undefined || target === undefined) return undefined;
  return {
    hello: JSON.parse(hello) as ClientHello,
    target: JSON.parse(target) as Target,
    logLevel: kept.state["logLevel"],
    subscriptions: decode(kept.state["subscriptions"]),
    ownSubscriptions: decode(kept.state["ownSubscriptions"]),
    resumable: new Map(
      kept.upstream.flatMap(({ serverId, sessionId, extra }) => {
        if (sessionId === undefined) return [];
        const { protocolVersion = "", handshake = "{}" } = extra ?? {};
        return [[serverId, { sessionId, protocolVersion, handshake: JSON.parse(handshake) }] as const];
      }),
    ),
  };
}

function entryOf(serverId: string, session: ResumableSession): UpstreamSessionId {
  const { sessionId, protocolVersion } = session;
  // Instructions may be long, and were for the client's handshake.
  const { instructions: _, ...handshake } = session.handshake;
  return {
    serverId,
    sessionId,
    resumable: true,
    extra: { protocolVersion, handshake: JSON.stringify(handshake) },
  };
}

function encode(subscriptions: Subscriptions): string {
  return JSON.stringify([...subscriptions].map(([upstreamId, uris]) => [upstreamId, [...uris]]));
}

function decode(text = "[]"): Subscriptions {
  const entries = JSON.parse(text) as [string, string[]][];
  return new Map(entries.map(([upstreamId, uris]) => [upstreamId, new Set(uris)]));
}
