import type { CallOutcome } from "@gatewright/mcp-bridge/bridge";
import {
  type UpstreamAnswer,
  UpstreamError,
  type UpstreamMessage,
  type UpstreamRequest,
  type UpstreamSession,
} from "@gatewright/mcp-bridge/upstream";

import type { Lease, SessionKey } from "@gatewright/session-pool";
import type { UpstreamRecord } from "../registry/records.ts";
import type { SessionContext } from "../upstreams/session-context.ts";
import type { Crossing } from "./crossing.ts";
import type { SessionSource } from "./spare-sessions.ts";

/** One request to one upstream. */
export interface UpstreamCall {
  readonly upstream: UpstreamRecord;
  readonly key: SessionKey;
  readonly context: SessionContext;
  readonly request: UpstreamRequest;
  readonly signal: AbortSignal;
  /** Takes what comes before the answer. */
  readonly onMessage?: (message: UpstreamMessage, session: UpstreamSession) => void;
  /** For sessions that do not speak what the client speaks; without one every session is spoken to directly. */
  readonly crossing?: Crossing | undefined;
  /** Told when the request is sent once more, in a new session, as the upstream refused it for the old one. */
  readonly onRenewal?: () => void;
}

/**
 * Makes one attempt: leases a session, sends, gives the session back. The time limit covers the wait for the session;
 * `signal` and `headers` stand in for those of the call. When the upstream refuses the credentials, or no longer knows the
 * session, nothing was executed: credentials are read again, a session is opened anew, and the request is sent once more.
 * That belongs to the attempt and is no repeat: no policy forbids it and no budget pays for it. `refused` says that this is
 * that once more.
 */
export async function attempt(
  pool: SessionSource,
  call: UpstreamCall,
  timeoutMs: number,
  signal: AbortSignal = call.signal,
  headers?: Readonly<Record<string, string>>,
  refused = false,
): Promise<UpstreamAnswer> {
  const { onMessage, crossing } = call;
  let leftMs = timeoutMs;
  let lease = pool.tryAcquire(call.key);
  if (lease === undefined) {
    const startedMs = performance.now();
    const deadline = Date.now() + Math.max(1, timeoutMs);
    lease = await pool.acquire(call.key, { signal, context: call.context, deadline });
    leftMs -= performance.now() - startedMs;
  }
  const { session } = lease;
  const sentMs = performance.now();
  const request = headers === undefined ? call.request : { ...call.request, headers };
  const options = {
    signal,
    timeoutMs: Math.max(1, leftMs),
    onMessage: onMessage && ((message: UpstreamMessage) => onMessage(message, session)),
  };
  const held = lease;
  const crosses = crossing !== undefined && crossing.era !== session.era;
  try {
    if (crosses) {
      return await crossing.send(session, request, {
        ...options,
        onEnd: (outcome) => giveBack(held, outcome),
      });
    }
    const answer = await session.request(request, options);
    held.release(answer.kind === "result" ? "ok" : "application_error");
    return answer;
  } catch (error) {
    if (!crosses) held.fail(error);
    leftMs -= performance.now() - sentMs;
    if (refused || !isRefusal(error) || leftMs < 1 || signal.aborted) throw error;
    // Its session is evicted, and the next one is opened with the credentials of now.
    call.onRenewal?.();
    return await attempt(pool, call, leftMs, signal, headers, true);
  }
}

/**
 * Whether another session may do what this one could not: the upstream refused it before it did anything. Where a call has
 * several rounds, or a stream that is gone on with, the refusal of a later one has another phase.
 */
function isRefusal(error: unknown): boolean {
  if (!UpstreamError.is(error) || (error.phase !== "refused" && error.phase !== "not_sent")) return false;
  return error.code === "upstream_unauthorized" || error.code === "session_lost";
}

function giveBack(lease: Lease<UpstreamSession>, outcome: CallOutcome): void {
  if ("error" in outcome) lease.fail(outcome.error);
  else lease.release(outcome.answer.kind === "result" ? "ok" : "application_error");
}
