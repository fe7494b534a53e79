import type { Decision, RetryOptions } from "@gatewright/retry-backoff";
import type { UpstreamRecord } from "../registry/records.ts";
import type { CallTrace } from "../tracing/call-trace.ts";

/** A request that plugins do not see: a list, a handshake, a completion. */
export interface PlainRequest {
  readonly method: string;
  readonly upstream: UpstreamRecord;
  readonly tenant?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** When it must have ended, by `performance.now()`. */
  readonly deadline?: number | undefined;
  readonly trace?: CallTrace | undefined;
  /** Hears every decision. */
  readonly onDecision?: (decision: Decision) => void;
}

/** One attempt of a request that no plugin sees. */
export interface PlainAttempt {
  /** 1 for the first. */
  readonly number: number;
  readonly signal: AbortSignal | undefined;
  /** Time left for it; undefined without a limit. */
  readonly remainingMs: number | undefined;
}

const reads: ReadonlySet<string> = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "completion/complete",
  "server/discover",
  "initialize",
  "ping",
]);
const idempotent: ReadonlySet<string> = new Set([
  "resources/subscribe",
  "resources/unsubscribe",
  "logging/setLevel",
]);

/** What the protocol says about repeating a request that plugins do not see. */
export function safetyOf(method: string): Pick<RetryOptions, "idempotent" | "annotations" | "serverTrusted"> {
  return {
    idempotent: idempotent.has(method),
    annotations: { readOnlyHint: reads.has(method) },
    serverTrusted: true,
  };
}

/** Tells a span what a retrier decides of its call. */
export function tracedDecisions(trace: CallTrace): (decision: Decision) => void {
  let attempts = 1;
  return (decision) => {
    if (decision.retry) {
      attempts = decision.attempt;
      trace.retried(attempts, decision.delayMs, decision.reason);
    } else if (decision.reason !== "success") trace.gaveUp(attempts, decision.reason);
  };
}
