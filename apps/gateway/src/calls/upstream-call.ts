import type {
  UpstreamAnswer,
  UpstreamMessage,
  UpstreamRequest,
  UpstreamSession,
} from "@gatewright/mcp-bridge/upstream";
import type { SessionKey } from "@gatewright/session-pool";
import type { UpstreamRecord } from "../registry/records.ts";
import type { SessionContext } from "../upstreams/session-context.ts";
import type { UpstreamPool } from "../wiring/session-pool.ts";

/** One request to one upstream. */
export interface UpstreamCall {
  readonly upstream: UpstreamRecord;
  readonly key: SessionKey;
  readonly context: SessionContext;
  readonly request: UpstreamRequest;
  readonly signal: AbortSignal;
  /** Takes what comes before the answer. */
  readonly onMessage?: (message: UpstreamMessage, session: UpstreamSession) => void;
}

/** Makes one attempt: leases a session, sends, gives the session back. */
export async function attempt(
  pool: UpstreamPool,
  call: UpstreamCall,
  timeoutMs: number,
): Promise<UpstreamAnswer> {
  const { signal, onMessage } = call;
  const lease =
    pool.tryAcquire(call.key) ?? (await pool.acquire(call.key, { signal, context: call.context }));
  const { session } = lease;
  try {
    const answer = await session.request(call.request, {
      signal,
      timeoutMs,
      onMessage: onMessage && ((message) => onMessage(message, session)),
    });
    lease.release(answer.kind === "result" ? "ok" : "application_error");
    return answer;
  } catch (error) {
    lease.fail(error);
    throw error;
  }
}
