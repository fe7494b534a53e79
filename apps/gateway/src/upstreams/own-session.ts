import type { UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { RetryLayer } from "../calls/retry-layer.ts";
import type { UpstreamAccesses } from "../mcp/upstream-access.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { UpstreamPool } from "../wiring/session-pool.ts";
import { isDeclaredShared } from "./is-shared.ts";
import type { LiveUpstreams } from "./live-upstreams.ts";
import { gatewayContext } from "./session-context.ts";

/** What sessions of the gateway's own are opened with. */
export interface OwnSessionDeps {
  readonly live: LiveUpstreams;
  readonly pool: UpstreamPool;
  readonly accesses: UpstreamAccesses;
  readonly retries: RetryLayer;
}

/**
 * Runs something that only reads with a session of the gateway's own: the shared one where all callers share it (so that
 * it is warm for them), else one that is closed afterwards, and that speaks what the upstream speaks by now. Connecting
 * and reading are repeated by the retry policy.
 */
export function openOwnSession<T>(
  deps: OwnSessionDeps,
  record: UpstreamRecord,
  use: (session: UpstreamSession) => Promise<T>,
): Promise<T> {
  return deps.retries.run({ method: "server/discover", upstream: record }, ({ signal }) =>
    once(deps, record, use, signal),
  );
}

async function once<T>(
  deps: OwnSessionDeps,
  record: UpstreamRecord,
  use: (session: UpstreamSession) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (isDeclaredShared(record)) {
    const { key, context } = deps.accesses.own(record);
    await using lease = await deps.pool.acquire(key, {
      context,
      purpose: "probe",
      ...(signal && { signal }),
    });
    return await use(lease.session);
  }
  const session = await deps.live.get(record).open(gatewayContext);
  // The pool did not see that: callers need not wait until its breaker tries by itself.
  deps.pool.serverReached(record.id);
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}
