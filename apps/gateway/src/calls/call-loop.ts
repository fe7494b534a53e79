import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type {
  CallOutcome,
  PipelineResult,
  PluginPipeline,
  PostPayload,
  RequestScope,
  ToolAnnotations,
} from "@gatewright/plugin-framework";
import type { RetryPolicy } from "@gatewright/retry-backoff";
import { GatewayError } from "../errors.ts";
import type { RetryMetrics } from "../metrics/retry-metrics.ts";
import type { CallTrace } from "../tracing/call-trace.ts";
import type { UpstreamPool } from "../wiring/session-pool.ts";
import { outcomeOfAnswer } from "./answer-outcome.ts";
import { attemptHeaders } from "./attempt-headers.ts";
import { failureOf, isFault, outcomeOf, withheldOf } from "./call-failure.ts";
import { doubtful, doubtfulAnswer, lasting, leavesDoubt } from "./doubt.ts";
import { decisionOf, explained, type GiveUp, giveUpHeaders, giveUpOf, retryReasonOf } from "./give-up.ts";
import { hindrance, isTrusted } from "./hindrance.ts";
import type { HookPair } from "./hooks.ts";
import { postPayload } from "./post-payload.ts";
import type { RetryLayer } from "./retry-layer.ts";
import { type SessionSource, spareSessions } from "./spare-sessions.ts";
import { unexpectedFailure } from "./unexpected-failure.ts";
import { attempt, type UpstreamCall } from "./upstream-call.ts";

/** What the loop works with. */
export interface CallLoopDeps {
  readonly pipeline: PluginPipeline;
  readonly pool: UpstreamPool;
  readonly metrics: RetryMetrics;
  readonly retries: RetryLayer;
  readonly attemptTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly maxRetries: number;
  /** Told of attempts that failed by a fault of this program: their callers get another error. */
  readonly onFault: (error: unknown) => void;
}

/** A call that plugins see. */
export interface HookedCall extends UpstreamCall {
  readonly hooks: HookPair;
  /** The upstream's own name of the tool or prompt, or the URI. */
  readonly name: string;
  readonly annotations: ToolAnnotations | undefined;
  readonly idempotencyKey: string | undefined;
  readonly tenant: string | undefined;
  /** The call's span, where traces are taken. */
  readonly trace?: CallTrace | undefined;
  /** How long the caller waits, when it said so. */
  readonly callerTimeoutMs: number | undefined;
  /** Asks the plugins before a call once more, for a repeat; rejects when they refuse. */
  readonly charge?: () => Promise<void>;
  /** Goes on with a call that waited for its client, in the session that it kept; what fails then is not repeated. */
  readonly resume?: () => Promise<UpstreamAnswer>;
}

/** What a call came to. */
export interface CallResult {
  readonly answer: UpstreamAnswer;
  /** The result value, when a plugin changed it. */
  readonly changed?: unknown;
  /** Response headers from plugins, and why a failed call was not repeated. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Where the policy says nothing else, no attempt starts with less time left. */
const defaultMinAttemptMs = 10;
/** Timers come late by about a millisecond; a clipped wait leaves time for that. */
const timerLatenessMs = 2;

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
  const { pipeline, metrics, retries } = deps;
  const { post } = call.hooks;
  const needBody = pipeline.reads(post) === "body";
  const policy = retries.limitsOf(call.name, call.tenant);
  const ownMs = totalMs(deps, call, policy);
  const minAttemptMs = policy?.minAttemptMs ?? defaultMinAttemptMs;
  if (ownMs < minAttemptMs && call.resume === undefined) {
    metrics.gaveUp("deadline");
    call.trace?.gaveUp(0, "deadline");
    const details = { reason: "deadline" };
    throw new GatewayError("upstream_timeout", "there is no time for an attempt", { details });
  }
  const endsMs = performance.now() + ownMs;
  // Whether an attempt that was followed by another one may have been executed, where that does harm twice.
  let inDoubt = false;
  for (let count = 1; ; count++) {
    let answer: UpstreamAnswer | undefined;
    let error: unknown;
    let outcome: CallOutcome;
    try {
      const got = await attemptOnce(deps, call, policy, count, endsMs);
      outcome = outcomeOfAnswer(got, needBody);
      answer = got;
    } catch (cause) {
      if (call.signal.aborted) throw aborted(metrics, call, count, cause);
      if (isFault(cause)) deps.onFault(cause);
      error = cause;
      outcome = outcomeOf(error);
    }
    const leftMs = endsMs - performance.now() - timerLatenessMs;
    let result: PipelineResult<PostPayload>;
    try {
      const invoked = scope.invoke(post, postPayload(call, outcome, count, leftMs));
      result = invoked instanceof Promise ? await invoked : invoked;
    } catch (cause) {
      throw inDoubt || leavesDoubt(hintsOf(call), outcome) ? unheard(cause) : cause;
    }
    const decision = decisionOf(result);
    let giveUp: GiveUp | undefined;
    if (result.allowed && result.retryDelayMs !== undefined) {
      const roomMs = endsMs - performance.now() - timerLatenessMs - minAttemptMs;
      // Clipped so that there is time for an attempt; what the upstream asked for is not.
      const askedMs = retries.askedMs(outcome, call.name, call.tenant);
      const delayMs = askedMs > roomMs || roomMs < 1 ? undefined : Math.min(result.retryDelayMs, roomMs);
      giveUp = await hindrance(deps, call, { outcome, decision, count, delayMs });
      if (giveUp === undefined && delayMs !== undefined) {
        const reason = retryReasonOf(decision);
        const doubt: boolean = inDoubt || leavesDoubt(hintsOf(call), outcome);
        call.trace?.retried(count + 1, delayMs, reason);
        const waited = await retries.wait(delayMs, call.signal);
        if (waited) await charged(metrics, call, count, doubt);
        if (waited && endsMs - performance.now() >= minAttemptMs) {
          metrics.retried(reason);
          inDoubt = doubt;
          continue;
        }
        if (call.signal.aborted) throw aborted(metrics, call, count, call.signal.reason);
        giveUp = { reason: waited ? "deadline" : "shutdown", outcomeUnknown: false };
      }
    } else giveUp = giveUpOf(decision);
    metrics.ended(count);
    if (giveUp !== undefined) {
      metrics.gaveUp(giveUp.reason);
      call.trace?.gaveUp(count, giveUp.reason);
    }
    if (!result.allowed && result.violation !== undefined) throw withheldOf(result.violation);
    if (answer === undefined) {
      const failure = failureOf(error, call.upstream.name);
      if (inDoubt) throw doubtful(failure, count, giveUp);
      throw explained(leavesDoubt(hintsOf(call), outcome) ? lasting(failure) : failure, count, giveUp);
    }
    const headers = giveUpHeaders(result.headers, count, giveUp);
    const after = result.payload.outcome;
    if (after === outcome || after.kind !== "result") {
      const doubted = inDoubt ? doubtfulAnswer(answer, call.upstream.name, count, giveUp) : undefined;
      if (doubted !== undefined) throw doubted;
      return { answer, headers };
    }
    return { answer, headers, changed: after.result };
  }
}

function totalMs(deps: CallLoopDeps, call: HookedCall, policy: RetryPolicy | undefined): number {
  const ownMs = Math.min(deps.callTimeoutMs, call.callerTimeoutMs ?? deps.callTimeoutMs);
  return policy?.totalDeadlineMs === undefined ? ownMs : Math.min(ownMs, policy.totalDeadlineMs);
}

function attemptOnce(
  deps: CallLoopDeps,
  call: HookedCall,
  policy: RetryPolicy | undefined,
  count: number,
  endsMs: number,
): Promise<UpstreamAnswer> {
  if (call.resume) return call.resume();
  const limited = policy !== undefined || call.callerTimeoutMs !== undefined;
  // A hedge starts later than the first attempt, and has as much less time.
  const send = (signal: AbortSignal, pool: SessionSource = deps.pool): Promise<UpstreamAnswer> => {
    const leftMs = endsMs - performance.now();
    const timeoutMs = Math.min(deps.attemptTimeoutMs, leftMs, policy?.attemptTimeoutMs ?? leftMs);
    const headers = attemptHeaders(call.request.headers, count, limited ? timeoutMs : undefined);
    return attempt(pool, call, timeoutMs, signal, headers);
  };
  if (!policy?.hedge) return send(call.signal);
  const serverTrusted = isTrusted(call);
  const { stateless } = call.upstream.definition;
  const hedges = stateless ? deps.pool : spareSessions(deps.pool);
  return deps.retries.hedged(
    policy,
    { ...call, serverTrusted, hasRoom: () => stateless || deps.pool.hasRoom(call.key) },
    (signal, hedge) => send(signal, hedge ? hedges : deps.pool),
  );
}

/** Asks the plugins before a repeat, where that is set. @throws what they refuse with, and the call ends */
async function charged(
  metrics: RetryMetrics,
  call: HookedCall,
  attempts: number,
  doubt: boolean,
): Promise<void> {
  try {
    await call.charge?.();
  } catch (refusal) {
    metrics.ended(attempts);
    metrics.gaveUp("not_retryable");
    call.trace?.gaveUp(attempts, "not_retryable");
    if (!doubt) throw refusal;
    throw doubtful(failureOf(refusal, call.upstream.name), attempts, {
      reason: "not_retryable",
      outcomeUnknown: true,
    });
  }
}

/** What is said where a plugin failed after a call that may have been executed: not that it may be made again. */
function unheard(cause: unknown): unknown {
  const failure = unexpectedFailure(cause);
  return failure.retryable ? lasting(failure) : cause;
}

function hintsOf(call: HookedCall) {
  return { annotations: call.annotations, serverTrusted: isTrusted(call) };
}

function aborted(metrics: RetryMetrics, call: HookedCall, attempts: number, reason: unknown): unknown {
  metrics.ended(attempts);
  metrics.gaveUp("aborted");
  call.trace?.gaveUp(attempts, "aborted");
  return reason;
}
