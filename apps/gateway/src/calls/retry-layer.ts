import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type { CallOutcome } from "@gatewright/plugin-framework";
import {
  type Attempt,
  type Budget,
  createRetrier,
  type Decision,
  type GiveUpReason,
  parsePolicy,
  type Retrier,
  RetryError,
  type RetryPolicy,
} from "@gatewright/retry-backoff";
import { createSleeper, type Sleeper, systemClock } from "@gatewright/retry-backoff/plugin";
import type { RetryMetrics } from "../metrics/retry-metrics.ts";
import { type BudgetView, budgetView } from "./budget-view.ts";
import { type GiveUp, giveUpOf } from "./give-up.ts";
import { type HedgedCall, Hedges, type SendHedged } from "./hedges.ts";
import { type PlainAttempt, type PlainRequest, safetyOf, tracedDecisions } from "./plain-request.ts";
import { RunningRetriers } from "./running-retriers.ts";
import type { ServerAccount } from "./server-tools.ts";

/** What the layer is told by the gateway. */
export interface RetryLayerDeps {
  readonly metrics: RetryMetrics;
  /** Whether the breaker of a server is open. */
  readonly circuitOpen: (serverId: string) => boolean;
  /** Whether the plugin `retry` is switched on for a tenant. */
  readonly enabled: (tenant: string | undefined) => boolean;
  readonly chargeEachAttempt: boolean;
}

/** Whose counters of the budget a call belongs to. */
export interface CallScope {
  readonly tool: string;
  readonly server: string;
  readonly tenant: string | undefined;
}

/** Reasons of the plugin `retry` that hold whoever asks for an attempt. */
const forAll: ReadonlySet<GiveUpReason> = new Set<GiveUpReason>([
  "budget_exhausted",
  "circuit_open",
  "retry_after_exceeds_cap",
]);

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
  accounts(): readonly ServerAccount[] | Promise<readonly ServerAccount[]>;
  /** Of a shared one: withdrawals decided without Redis, and accounts whose deposits wait. */
  stats?(): { readonly degraded: number; readonly pending: number };
  /** Sends what a shared one has gathered. */
  close?(): Promise<void>;
}

/**
 * The gateway's side of repeating: the policy in force, the waits of all calls, hedges, and the loop of requests that
 * no plugin sees. Calls that plugins see are repeated by {@link runCallLoop}, so every request has one layer.
 */
export class RetryLayer {
  readonly #sleeper: Sleeper = createSleeper(systemClock);
  readonly chargeEachAttempt: boolean;
  readonly #deps: RetryLayerDeps;
  #policy: RetryPolicy;
  readonly #running = new RunningRetriers();
  #retrier: Retrier;
  #hedges: Hedges;
  #budget: KeptBudget | undefined;
  #limited = false;
  #stopped = false;

  constructor(deps: RetryLayerDeps) {
    this.#deps = deps;
    this.chargeEachAttempt = deps.chargeEachAttempt;
    this.#policy = parsePolicy({ budget: false });
    this.#retrier = this.#retrierOf(this.#policy, undefined);
    this.#hedges = new Hedges(deps.metrics, this.#running, undefined);
  }

  /** Takes over the policy of the plugin, when it is made and when it is made anew. */
  adopt({ policy, plain, limited, budget }: AdoptedPolicy): void {
    this.#limited = limited;
    this.#budget = budget;
    this.#policy = policy;
    this.#retrier = this.#retrierOf(plain, budget);
    this.#hedges = new Hedges(this.#deps.metrics, this.#running, budget);
  }

  /** The policy that holds for a call, when it limits time or hedges; most do neither. */
  limitsOf(name: string, tenant: string | undefined): RetryPolicy | undefined {
    if (!this.#limited || !this.#deps.enabled(tenant)) return undefined;
    return this.#policy.for(name);
  }

  /** Whether the operator said that a tool may be repeated although it may have been executed. */
  repeatsUnsafe(name: string, tenant: string | undefined): boolean {
    return this.#deps.enabled(tenant) && this.#policy.for(name).repeatUnsafe;
  }

  /** The wait that an upstream asked for, in milliseconds; 0 where the policy does not heed it. */
  askedMs(outcome: CallOutcome, name: string, tenant: string | undefined): number {
    if (outcome.kind !== "error" || outcome.retryAfterMs === undefined) return 0;
    const heeded = !this.#deps.enabled(tenant) || this.#policy.for(name).respectRetryAfter;
    return heeded ? outcome.retryAfterMs : 0;
  }

  /**
   * Why another plugin than `retry` may not have a call repeated: the breaker, and the budget, which pays for it. What
   * `retry` was refused for such a reason is refused to all.
   */
  async refusal(decision: Decision | undefined, scope: CallScope): Promise<GiveUp | undefined> {
    if (!this.#deps.enabled(scope.tenant)) return undefined;
    if (decision?.retry === false && forAll.has(decision.reason)) return giveUpOf(decision);
    if (this.#deps.circuitOpen(scope.server)) return { reason: "circuit_open", outcomeUnknown: false };
    const verdict = await this.#budget?.withdraw(scope);
    if (verdict === undefined || verdict.granted) return undefined;
    return { reason: "budget_exhausted", outcomeUnknown: false, refusedBy: verdict.refusedBy };
  }

  /** Runs a request that no plugin sees, and repeats it by the policy. JSON-RPC errors are thrown as {@link AnsweredError}. */
  run<T>(request: PlainRequest, send: (attempt: PlainAttempt) => Promise<T>): Promise<T> {
    const { method, upstream, tenant, signal, deadline, trace, onDecision } = request;
    const traced = trace && tracedDecisions(trace);
    if (this.#stopped || !this.#deps.enabled(tenant))
      return send({ number: 1, signal, remainingMs: undefined });
    const plain = ({ number, signal, remainingMs }: Attempt) => send({ number, signal, remainingMs });
    return this.#running.run(this.#retrier, plain, {
      name: method,
      scope: { server: upstream.id, tenant },
      signal,
      deadline,
      ...safetyOf(method),
      circuitOpen: () => this.#deps.circuitOpen(upstream.id),
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
  hedged(policy: RetryPolicy, call: HedgedCall, send: SendHedged): Promise<UpstreamAnswer> {
    return this.#stopped ? send(call.signal, false) : this.#hedges.attempt(policy, call, send);
  }

  /** Ends every wait; calls that wait end with what they have. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#running.stop();
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
    return {
      enabled: this.#deps.enabled(undefined),
      waiting: this.#sleeper.size + this.#running.sleeping,
      retries: metrics.retriesByReason(),
      giveUps: metrics.giveUpsByReason(),
    };
  }

  /** The counters of the budget; null without one. */
  async budgets(): Promise<(BudgetView & Partial<ReturnType<NonNullable<KeptBudget["stats"]>>>) | null> {
    const budget = this.#budget;
    return budget === undefined ? null : { ...budgetView(await budget.accounts()), ...budget.stats?.() };
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
}
