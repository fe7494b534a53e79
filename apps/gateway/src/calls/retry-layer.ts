import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type { CallOutcome, ToolAnnotations } from "@gatewright/plugin-framework";
import {
  type Attempt,
  type Budget,
  type BudgetAccount,
  createRetrier,
  type Decision,
  parsePolicy,
  type Retrier,
  RetryError,
  type RetryOptions,
  type RetryPolicy,
} from "@gatewright/retry-backoff";
import { createSleeper, type Sleeper, systemClock } from "@gatewright/retry-backoff/plugin";
import type { RetryMetrics } from "../metrics/retry-metrics.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { CallTrace } from "../tracing/call-trace.ts";
import { outcomeOfAnswer } from "./answer-outcome.ts";
import { AnsweredError, answerOf } from "./answered-error.ts";
import { type BudgetView, budgetView } from "./budget-view.ts";
import { outcomeOf } from "./call-failure.ts";

/** What the layer is told by the gateway. */
export interface RetryLayerDeps {
  readonly metrics: RetryMetrics;
  /** Whether the breaker of a server is open. */
  readonly circuitOpen: (serverId: string) => boolean;
  /** Whether the plugin `retry` is switched on for a tenant. */
  readonly enabled: (tenant: string | undefined) => boolean;
  readonly chargeEachAttempt: boolean;
}

/** A policy as the plugin was given it. */
export interface AdoptedPolicy {
  readonly policy: RetryPolicy;
  /** The same without hedges, for requests that plugins do not see. */
  readonly plain: RetryPolicy;
  /** Whether it, or an override, limits time or hedges. */
  readonly limited: boolean;
  readonly budget: KeptBudget | undefined;
}

/** A budget that tells what it holds. */
export interface KeptBudget extends Budget {
  accounts(): readonly BudgetAccount[] | Promise<readonly BudgetAccount[]>;
  /** Of a shared one: withdrawals decided without Redis, and accounts whose deposits wait. */
  stats?(): { readonly degraded: number; readonly pending: number };
  /** Sends what a shared one has gathered. */
  close?(): Promise<void>;
}

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

/** A call as far as hedging is concerned. */
export interface HedgedCall {
  readonly name: string;
  readonly upstream: UpstreamRecord;
  readonly tenant: string | undefined;
  readonly annotations: ToolAnnotations | undefined;
  readonly serverTrusted: boolean;
  /** Whether the server keeps no sessions, or the session could take one more call. */
  readonly hasRoom: () => boolean;
  readonly signal: AbortSignal;
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

/**
 * The gateway's side of repeating: the policy in force, the waits of all calls, hedges, and the loop of requests that
 * no plugin sees. Calls that plugins see are repeated by {@link runCallLoop}, so every request has one layer.
 */
export class RetryLayer {
  readonly #sleeper: Sleeper = createSleeper(systemClock);
  readonly chargeEachAttempt: boolean;
  readonly #deps: RetryLayerDeps;
  #hedgers = new WeakMap<RetryPolicy, Retrier>();
  #policy: RetryPolicy;
  #retrier: Retrier;
  /** Those that calls are under way in, of former policies too, and how many. */
  readonly #underWay = new Map<Retrier, number>();
  #budget: KeptBudget | undefined;
  #limited = false;
  #stopped = false;

  constructor(deps: RetryLayerDeps) {
    this.#deps = deps;
    this.chargeEachAttempt = deps.chargeEachAttempt;
    this.#policy = parsePolicy({ budget: false });
    this.#retrier = this.#retrierOf(this.#policy, undefined);
  }

  /** Takes over the policy of the plugin, when it is made and when it is made anew. */
  adopt({ policy, plain, limited, budget }: AdoptedPolicy): void {
    this.#hedgers = new WeakMap();
    this.#limited = limited;
    this.#budget = budget;
    this.#policy = policy;
    this.#retrier = this.#retrierOf(plain, budget);
  }

  /** The policy that holds for a call, when it limits time or hedges; most do neither. */
  limitsOf(name: string, tenant: string | undefined): RetryPolicy | undefined {
    if (!this.#limited || !this.#deps.enabled(tenant)) return undefined;
    return this.#policy.for(name);
  }

  /** Runs a request that no plugin sees, and repeats it by the policy. JSON-RPC errors are thrown as {@link AnsweredError}. */
  run<T>(request: PlainRequest, send: (attempt: PlainAttempt) => Promise<T>): Promise<T> {
    const { method, upstream, tenant, signal, deadline, trace, onDecision } = request;
    const traced = trace && tracedDecisions(trace);
    if (!this.#deps.enabled(tenant)) return send({ number: 1, signal, remainingMs: undefined });
    const plain = ({ number, signal, remainingMs }: Attempt) => send({ number, signal, remainingMs });
    return this.#through(this.#retrier, plain, {
      name: method,
      scope: { server: upstream.id, tenant },
      signal,
      deadline,
      idempotent: idempotent.has(method),
      annotations: { readOnlyHint: reads.has(method) },
      serverTrusted: true,
      circuitOpen: () => this.#deps.circuitOpen(upstream.id),
      classify,
      onDecision(decision) {
        traced?.(decision);
        onDecision?.(decision);
      },
    });
  }

  /** Waits before an attempt. Whether the wait came to its end: else the signal fired or the gateway stops. */
  wait(delayMs: number, signal: AbortSignal): Promise<boolean> {
    if (this.#stopped) return Promise.resolve(false);
    return this.#sleeper.sleep(delayMs, { signal }).then(
      () => true,
      () => false,
    );
  }

  /** Makes one attempt, and a second one while the first is slow, where the policy and the server allow it. */
  hedged(
    policy: RetryPolicy,
    call: HedgedCall,
    send: (signal: AbortSignal, hedge: boolean) => Promise<UpstreamAnswer>,
  ): Promise<UpstreamAnswer> {
    const { name, upstream, tenant, annotations, serverTrusted, hasRoom, signal } = call;
    return this.#through(
      this.#hedgerOf(policy),
      async ({ hedge, signal: own }) => {
        if (hedge) this.#deps.metrics.retried("hedge");
        return successOf(await send(own ?? signal, hedge));
      },
      {
        name,
        scope: { tool: name, server: upstream.id, tenant },
        signal,
        annotations,
        serverTrusted,
        concurrent: hasRoom,
        classify,
      },
    ).catch(answerOf);
  }

  /** Ends every wait; calls that wait end with what they have. Idempotent. */
  stop(): void {
    this.#stopped = true;
    for (const retrier of [this.#retrier, ...this.#underWay.keys()]) retrier.stop();
    this.#sleeper.wakeAll(new RetryError("shutdown", "the gateway is stopping"));
  }

  /** Stops, and sends what a shared budget has gathered. */
  async close(): Promise<void> {
    this.stop();
    await this.#budget?.close?.();
  }

  /** What `GET /admin/limits` shows. */
  stats() {
    const { metrics } = this.#deps;
    const sleeping = [...this.#underWay.keys()].reduce((sum, retrier) => sum + retrier.stats().sleeping, 0);
    return {
      enabled: this.#deps.enabled(undefined),
      waiting: this.#sleeper.size + sleeping,
      retries: metrics.retriesByReason(),
      giveUps: metrics.giveUpsByReason(),
    };
  }

  /** The counters of the budget; null without one. */
  async budgets(): Promise<(BudgetView & Partial<ReturnType<NonNullable<KeptBudget["stats"]>>>) | null> {
    const budget = this.#budget;
    return budget === undefined ? null : { ...budgetView(await budget.accounts()), ...budget.stats?.() };
  }

  /** Runs a call in a retrier that is remembered as long, so that it can be stopped after its policy was replaced, too. */
  #through<T>(retrier: Retrier, fn: (attempt: Attempt) => Promise<T>, options: RetryOptions): Promise<T> {
    this.#underWay.set(retrier, (this.#underWay.get(retrier) ?? 0) + 1);
    const ended = () => {
      const left = (this.#underWay.get(retrier) ?? 1) - 1;
      if (left > 0) this.#underWay.set(retrier, left);
      else this.#underWay.delete(retrier);
    };
    return retrier.retry(fn, options).catch(rethrowPlainly).finally(ended);
  }

  #retrierOf(policy: RetryPolicy, budget: KeptBudget | undefined): Retrier {
    const { metrics } = this.#deps;
    return createRetrier(policy, {
      ...(budget === undefined ? {} : { budget }),
      observer: {
        onRetry: (decision) => metrics.retried(decision.reason),
        onGiveUp: (decision) => metrics.gaveUp(decision.reason),
        onDone: ({ attempts }) => metrics.ended(attempts),
      },
    });
  }

  /** One attempt a call, so that the plugin alone decides on repeats; calls were counted by the plugin already. */
  #hedgerOf(policy: RetryPolicy): Retrier {
    let hedger = this.#hedgers.get(policy);
    if (hedger !== undefined) return hedger;
    const budget = this.#budget;
    hedger = createRetrier(
      { maxRetries: 0, hedge: policy.hedge, budget: false },
      {
        ...(budget && { budget: { deposit: () => undefined, withdraw: (scope) => budget.withdraw(scope) } }),
        observer: {
          onGiveUp: ({ reason }) => {
            if (reason === "hedge_needs_session" || reason === "hedge_not_read_only") {
              this.#deps.metrics.gaveUp(reason);
            }
          },
        },
      },
    );
    this.#hedgers.set(policy, hedger);
    return hedger;
  }
}

/** An answer that is no failure; of hedged attempts only such a one ends the race. @throws {AnsweredError} for others */
function successOf(answer: UpstreamAnswer): UpstreamAnswer {
  const outcome = outcomeOfAnswer(answer, false);
  const failed =
    outcome.kind === "error" || (outcome.result as { isError?: unknown } | null)?.isError === true;
  if (failed) throw new AnsweredError(answer, outcome);
  return answer;
}

function classify(error: unknown): CallOutcome {
  if (error instanceof AnsweredError) return error.outcome;
  if (RetryError.is(error) && error.code === "attempt_timeout") {
    return { kind: "error", code: "upstream_timeout", phase: "sent_no_response" };
  }
  return outcomeOf(error);
}

/** Tells a span what a retrier decides of its call. */
function tracedDecisions(trace: CallTrace): (decision: Decision) => void {
  let attempts = 1;
  return (decision) => {
    if (decision.retry) {
      attempts = decision.attempt;
      trace.retried(attempts, decision.delayMs, decision.reason);
    } else if (decision.reason !== "success") trace.gaveUp(attempts, decision.reason);
  };
}

/** What a retrier wraps is taken out again: callers know the errors of attempts. */
function rethrowPlainly(error: unknown): never {
  if (RetryError.is(error) && error.cause !== undefined) throw error.cause;
  throw error;
}
