import { RPC } from "@gatewright/mcp-bridge";
import { type ListCall, localResult } from "@gatewright/mcp-bridge/bridge";
import { type UpstreamAnswer, UpstreamError, type UpstreamRequest } from "@gatewright/mcp-bridge/upstream";
import { outcomeOfAnswer } from "../calls/answer-outcome.ts";
import { AnsweredError, answerOf } from "../calls/answered-error.ts";
import { attemptHeaders } from "../calls/attempt-headers.ts";
import type { PlainAttempt } from "../calls/plain-request.ts";
import type { RetryLayer } from "../calls/retry-layer.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import { hopHeader, viaOf } from "../upstreams/hop.ts";
import type { UpstreamPool } from "../wiring/session-pool.ts";
import type { UpstreamAccesses } from "./upstream-access.ts";

/** What listing for an aggregated endpoint works with. */
export interface ListUpstreamDeps {
  readonly snapshot: () => Snapshot;
  readonly pool: UpstreamPool;
  readonly accesses: UpstreamAccesses;
  readonly retries: RetryLayer;
  /** The gateway's own name among deployments; items that came from it are left out. */
  readonly hopId: string;
  /** Milliseconds for one request. */
  readonly listTimeoutMs: number;
}

/** Member of a result that holds the items, and the capability without which an upstream has none. */
const shapes: Readonly<Record<string, { readonly field: string; readonly capability: string }>> = {
  "tools/list": { field: "tools", capability: "tools" },
  "prompts/list": { field: "prompts", capability: "prompts" },
  "resources/list": { field: "resources", capability: "resources" },
  "resources/templates/list": { field: "resourceTemplates", capability: "resources" },
};

/** How long it holds that an upstream has nothing of a kind; another handshake ends it. */
const nothingMs = 300_000;

/**
 * Lists upstreams as the gateway itself, so that a list that many ask for is asked for once; by a user's own credentials
 * where there are any, since what an upstream offers may depend on them. The context is the chain of gateways that the
 * request came through. It counts as no use of an upstream.
 */
export function createListCall(deps: ListUpstreamDeps): ListCall {
  return async (upstreamId, { method, params }, { signal, context, viewer }) => {
    const upstream = deps.snapshot().upstreams.get(upstreamId);
    if (upstream === undefined) {
      throw new UpstreamError("upstream_unreachable", "the upstream is gone", { phase: "not_sent" });
    }
    if (viewer === undefined && !offers(upstream, method)) return nothing(method);
    const hops = typeof context === "string" && context !== "" ? { [hopHeader]: context } : undefined;
    const ask = async ({ number, signal: own = signal, remainingMs = deps.listTimeoutMs }: PlainAttempt) => {
      const timeoutMs = Math.min(deps.listTimeoutMs, remainingMs);
      const request = { method, params, headers: attemptHeaders(hops, number, timeoutMs) };
      const answered = await listOnce(deps, { upstream, viewer }, request, { signal: own, timeoutMs });
      if (answered.kind === "error") throw new AnsweredError(answered, outcomeOfAnswer(answered, false));
      return answered;
    };
    const answer = await deps.retries.run({ method, upstream, signal }, ask).catch(answerOf);
    // A server that announces resources need not have templates, and says so by an error.
    if (answer.kind === "error" && answer.value()["code"] === RPC.methodNotFound) return nothing(method);
    return withoutOwn(answer, method, deps.hopId);
  };
}

async function listOnce(
  { pool, accesses }: ListUpstreamDeps,
  { upstream, viewer }: { readonly upstream: UpstreamRecord; readonly viewer: string | undefined },
  request: UpstreamRequest,
  limits: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<UpstreamAnswer> {
  const { key, context } = accesses.own(upstream, viewer);
  const { signal } = limits;
  const purpose = "probe";
  const lease = pool.tryAcquire(key, { purpose }) ?? (await pool.acquire(key, { signal, context, purpose }));
  try {
    const answer = await lease.session.request(request, limits);
    lease.release();
    return answer;
  } catch (error) {
    lease.fail(error);
    throw error;
  }
}

function offers({ self }: UpstreamRecord, method: string): boolean {
  const shape = shapes[method];
  return shape === undefined || self === undefined || self.capabilities[shape.capability] !== undefined;
}

function nothing(method: string): UpstreamAnswer {
  const field = shapes[method]?.field ?? "items";
  return localResult(JSON.stringify({ [field]: [], ttlMs: nothingMs, cacheScope: "public" }));
}

/** Leaves out what another gateway has from this one. */
function withoutOwn(answer: UpstreamAnswer, method: string, hopId: string): UpstreamAnswer {
  const field = shapes[method]?.field;
  if (answer.kind === "error" || field === undefined || !answer.bytes.includes(hopId)) return answer;
  const result = answer.value();
  const items = Array.isArray(result[field]) ? (result[field] as Record<string, unknown>[]) : [];
  const kept = items.filter((item) => !viaOf(item).includes(hopId));
  return localResult(JSON.stringify({ ...result, [field]: kept }));
}
