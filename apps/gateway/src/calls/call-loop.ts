import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type {
  CallOutcome,
  PluginPipeline,
  PostPayload,
  RequestScope,
  ToolAnnotations,
} from "@gatewright/plugin-framework";
import { GatewayError } from "../errors.ts";
import type { RetryMetrics } from "../metrics/retry-metrics.ts";
import type { UpstreamPool } from "../wiring/session-pool.ts";
import { outcomeOfAnswer } from "./answer-outcome.ts";
import { failureOf, outcomeOf, refusalOf } from "./call-failure.ts";
import type { HookPair } from "./hooks.ts";
import { sleep } from "./sleep.ts";
import { attempt, type UpstreamCall } from "./upstream-call.ts";

/** What the loop works with. */
export interface CallLoopDeps {
  readonly pipeline: PluginPipeline;
  readonly pool: UpstreamPool;
  readonly metrics: RetryMetrics;
  readonly attemptTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly maxRetries: number;
}

/** A call that plugins see. */
export interface HookedCall extends UpstreamCall {
  readonly hooks: HookPair;
  /** The upstream's own name of the tool or prompt, or the URI. */
  readonly name: string;
  readonly annotations: ToolAnnotations | undefined;
  readonly idempotencyKey: string | undefined;
}

/** What a call came to. */
export interface CallResult {
  readonly answer: UpstreamAnswer;
  /** The result value, when a plugin changed it. */
  readonly changed?: unknown;
  /** Response headers from plugins. */
  readonly headers: Readonly<Record<string, string>>;
}

const noHeaders = {};

/**
 * Calls the upstream until the post hooks ask for no further attempt: the largest delay wins, the wait ends
 * with the call's signal, and every attempt sends the same params under a new id.
 *
 * @throws {GatewayError} when there is no answer, or a plugin refuses it
 */
export async function runCallLoop(
  deps: CallLoopDeps,
  scope: RequestScope,
  call: HookedCall,
): Promise<CallResult> {
  const { pipeline, metrics } = deps;
  const { post } = call.hooks;
  const hooked = pipeline.has(post);
  const needBody = hooked && pipeline.reads(post) === "body";
  const startedMs = performance.now();
  for (let count = 1; ; count++) {
    let answer: UpstreamAnswer | undefined;
    let error: unknown;
    const leftMs = startedMs + deps.callTimeoutMs - performance.now();
    try {
      answer = await attempt(deps.pool, call, Math.min(deps.attemptTimeoutMs, leftMs));
    } catch (cause) {
      if (call.signal.aborted) throw cause;
      error = cause;
    }
    if (!hooked) {
      metrics.ended(count);
      if (answer === undefined) throw failureOf(error, call.upstream.name);
      return { answer, headers: noHeaders };
    }
    const outcome: CallOutcome = answer === undefined ? outcomeOf(error) : outcomeOfAnswer(answer, needBody);
    const invoked = scope.invoke(post, postPayload(call, outcome, count));
    const result = "then" in invoked ? await invoked : invoked;
    const { retryDelayMs } = result;
    if (result.allowed && retryDelayMs !== undefined && count <= deps.maxRetries) {
      const timeLeftMs = startedMs + deps.callTimeoutMs - performance.now();
      if (retryDelayMs < timeLeftMs) {
        if (!(await sleep(retryDelayMs, call.signal))) throw call.signal.reason;
        continue;
      }
    }
    metrics.ended(count);
    if (!result.allowed && result.violation !== undefined) throw refusalOf(result.violation);
    if (answer === undefined) throw withDecision(failureOf(error, call.upstream.name), count);
    const after = result.payload.outcome;
    if (after === outcome || after.kind !== "result") return { answer, headers: result.headers };
    return { answer, headers: result.headers, changed: after.result };
  }
}

// Built by cases, not by spreads: this runs for every attempt.
function postPayload(call: HookedCall, outcome: CallOutcome, attempt: number): PostPayload {
  const { name, annotations, idempotencyKey, upstream } = call;
  const serverTrusted = call.hooks.kind !== "tool" || upstream.definition.trusted;
  const payload = { name, outcome, attempt, serverTrusted };
  if (annotations === undefined) {
    return idempotencyKey === undefined ? payload : { ...payload, idempotencyKey };
  }
  if (idempotencyKey === undefined) return { name, outcome, attempt, serverTrusted, annotations };
  return { ...payload, annotations, idempotencyKey };
}

function withDecision(failure: GatewayError, attempts: number): GatewayError {
  if (attempts === 1) return failure;
  return new GatewayError(failure.code, `${failure.message} (after ${attempts} attempts)`, {
    ...failure.facts,
    details: { ...failure.facts.details, attempts },
  });
}
