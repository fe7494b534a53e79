import type { SessionKey } from "./session-key.ts";

/**
 * What a failure means for the session it happened on.
 * - `unauthorized` the upstream refused the credentials (HTTP 401): nothing was executed
 * - `session_lost` the upstream no longer knows the session (HTTP 404 in the session era, "terminated")
 * - `timeout` no answer in time
 * - `transport` the connection failed
 * - `application` the upstream answered with an error; the session is healthy
 * - `refused` the upstream answered that it does not want what this caller is, says or shows (HTTP 403, an error as the
 *   answer to a handshake): as `application`, and says nothing about the upstream for others
 * - `local`, `aborted`, `misrouted` the fault is on this side and says nothing about the upstream
 */
export type FaultKind =
  | "unauthorized"
  | "session_lost"
  | "timeout"
  | "transport"
  | "application"
  | "refused"
  | "local"
  | "aborted"
  | "misrouted";

/** A classified failure. */
export interface SessionFault {
  readonly kind: FaultKind;
  /** `false` when it is certain that the call was not executed. Default: unknown. */
  readonly executed?: boolean;
}

/** What a probe found. `timeout` and `terminal` make a session unhealthy. */
export type ProbeVerdict = "ok" | "unsupported" | "timeout" | "terminal";

/** One question that tells a living session from a dead one. */
export interface SessionProbe<S> {
  readonly name: string;
  /** A rejection counts as `terminal`; silence until the chain's deadline as `timeout`. */
  run(session: S, options: { readonly signal: AbortSignal }): Promise<ProbeVerdict>;
}

/** A probe that is satisfied with anything; the end of a chain for servers that support no other. */
export const skipProbe: SessionProbe<unknown> = { name: "skip", run: () => Promise.resolve("ok") };

/**
 * Why a session was closed. `handed_over` means that another replica goes on with it: let go of the connection, but
 * do not end the session upstream. `late` came after the pool had given its connect up.
 */
export type CloseReason =
  | "idle"
  | "age"
  | "uses"
  | "lru"
  | "drained"
  | "downstream_ended"
  | "handed_over"
  | "broken"
  | "lost"
  | "unhealthy"
  | "unauthorized"
  | "timeouts"
  | "one_shot"
  | "late"
  | "pool_closed";

/** What {@link SessionFactory.connect} is told. */
export interface ConnectOptions<C> {
  /** Owned by the pool: aborted on connect timeout, drain and close, never because a caller went away. */
  readonly signal: AbortSignal;
  /** What the caller that made the pool connect passed to `acquire`. */
  readonly context: C | undefined;
  /** True after the upstream refused the credentials: resolve them anew, do not take them from a cache. */
  readonly refreshCredentials: boolean;
}

/** How the pool makes, checks and ends sessions. The one thing a user of the pool must write. */
export interface SessionFactory<S, C = unknown> {
  /** Opens a session. Credentials are resolved here, at every connect, so that rotation takes hold. */
  connect(key: SessionKey, options: ConnectOptions<C>): Promise<S>;
  /** Ends a session; for MCP over HTTP this sends DELETE. Bounded by `closeTimeoutMs`, then abandoned. */
  close(session: S, reason: CloseReason): Promise<void>;
  /** Probes in the order they are tried, or a function that picks them for a session (its protocol era). */
  readonly probes?: readonly SessionProbe<S>[] | ((session: S) => readonly SessionProbe<S>[]);
  /**
   * Subscribes to the end of a session that nobody asked for; returns how to unsubscribe. Called before anybody gets the
   * session; one whose end is told within the call counts as a failed connect.
   */
  onLost?(session: S, lost: () => void): (() => void) | undefined;
  /** Says what a failure of `connect` or of a call means. Default: abort errors are `aborted`, the rest `transport`. */
  classify?(error: unknown): SessionFault;
}

/** The classification used when a factory brings none. */
export function classifyByDefault(error: unknown): SessionFault {
  const name = typeof error === "object" && error !== null ? (error as { name?: unknown }).name : undefined;
  if (name === "AbortError") return { kind: "aborted" };
  if (name === "TimeoutError") return { kind: "timeout" };
  return { kind: "transport" };
}
