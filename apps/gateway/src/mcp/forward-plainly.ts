import type { CallOutcome } from "@gatewright/plugin-framework";
import type { Decision } from "@gatewright/retry-backoff";
import { outcomeOfAnswer } from "../calls/answer-outcome.ts";
import { AnsweredError } from "../calls/answered-error.ts";
import { attemptHeaders, callerTimeoutMs, timeoutHeader } from "../calls/attempt-headers.ts";
import { failureOf, outcomeOf } from "../calls/call-failure.ts";
import { doubtful, doubtfulAnswer, lasting, leavesDoubt } from "../calls/doubt.ts";
import { explained, type GiveUp, giveUpHeaders, giveUpOf } from "../calls/give-up.ts";
import { safetyOf } from "../calls/plain-request.ts";
import type { Route } from "../calls/target.ts";
import { attempt } from "../calls/upstream-call.ts";
import { type ParamsChange, upstreamParams } from "../calls/upstream-params.ts";
import { crossingOf } from "./crossings.ts";
import type { Exchange } from "./exchange.ts";
import { callerOf, relayTo, renewalOf, traced } from "./exchange-parts.ts";
import type { ForwardDeps } from "./forward-deps.ts";
import { forgetSubscription, rememberSubscription } from "./own-subscriptions.ts";
import { relayAnswer, setHeaders } from "./relay-answer.ts";
import { upstreamHeaders } from "./upstream-headers.ts";

/** Sends a request that no plugin sees; `change` names what differs from the client's params. */
export async function forwardPlainly(
  deps: ForwardDeps,
  exchange: Exchange,
  route: Route,
  change: ParamsChange,
): Promise<void> {
  const { message, signal } = exchange;
  const { upstream } = route;
  forgetSubscription(exchange, route);
  const { key, context } = deps.accesses.of(callerOf(exchange), upstream);
  const call = {
    upstream,
    key,
    context,
    signal,
    request: {
      method: message.method,
      params: upstreamParams(message, traced(exchange, change)),
      extras: message.extras,
      headers: upstreamHeaders(exchange, route),
    },
    onMessage: relayTo(deps, exchange, upstream.id),
    onRenewal: renewalOf(deps, exchange),
    crossing: crossingOf(deps, exchange, route),
  };
  const { tenant } = exchange.principal;
  const { callTimeoutMs } = deps;
  const ownMs = Math.min(callTimeoutMs, callerTimeoutMs(exchange.headers[timeoutHeader]) ?? callTimeoutMs);
  const deadline = performance.now() + ownMs;
  let attempts = 1;
  let giveUp: GiveUp | undefined;
  const request = {
    method: message.method,
    upstream,
    tenant,
    signal,
    deadline,
    trace: exchange.trace,
    onDecision: (decision: Decision) => {
      giveUp = decision.reason === "success" ? undefined : giveUpOf(decision);
    },
  };
  try {
    const found = await deps.retries.run(request, async ({ number, signal: own, remainingMs = ownMs }) => {
      attempts = number;
      const timeoutMs = Math.min(deps.attemptTimeoutMs, remainingMs);
      const headers = attemptHeaders(call.request.headers, number, timeoutMs);
      const answered = await attempt(deps.pool, call, timeoutMs, own, headers);
      if (answered.kind === "error") throw new AnsweredError(answered, outcomeOfAnswer(answered, false));
      return answered;
    });
    await rememberSubscription(exchange, route);
    setHeaders(exchange, giveUpHeaders(noHeaders, attempts, giveUp));
    relayAnswer(exchange, upstream, found);
  } catch (error) {
    const { idempotent, ...hints } = safetyOf(message.method);
    // Of an attempt before the last one, too.
    const inDoubt = giveUp?.outcomeUnknown === true && !idempotent && leavesDoubt(hints, neverAnswered);
    if (error instanceof AnsweredError) {
      const hidden = inDoubt ? doubtfulAnswer(error.answer, upstream.name, attempts, giveUp) : undefined;
      if (hidden !== undefined) throw hidden;
      setHeaders(exchange, giveUpHeaders(noHeaders, attempts, giveUp));
      return relayAnswer(exchange, upstream, error.answer);
    }
    if (signal.aborted) throw error;
    const failure = failureOf(error, upstream.name);
    const lasts = !idempotent && leavesDoubt(hints, outcomeOf(error));
    if (inDoubt && !lasts) throw doubtful(failure, attempts, giveUp);
    throw explained(lasts ? lasting(failure) : failure, attempts, giveUp);
  }
}

const noHeaders: Readonly<Record<string, string>> = {};

/** The outcome of an attempt that was sent and lost. */
const neverAnswered: CallOutcome = {
  kind: "error",
  code: "upstream_unreachable",
  phase: "sent_no_response",
};
