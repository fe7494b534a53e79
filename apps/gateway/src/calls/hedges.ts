import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type { ToolAnnotations } from "@gatewright/plugin-framework";
import {
  type Budget,
  createRetrier,
  type GiveUpReason,
  type Retrier,
  type RetryPolicy,
} from "@gatewright/retry-backoff";
import type { RetryMetrics } from "../metrics/retry-metrics.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { CallTrace } from "../tracing/call-trace.ts";
import { outcomeOfAnswer } from "./answer-outcome.ts";
import { AnsweredError, answerOf } from "./answered-error.ts";
import type { RunningRetriers } from "./running-retriers.ts";

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
  readonly trace?: CallTrace | undefined;
}

/** Sends one attempt of a hedged call. */
export type SendHedged = (signal: AbortSignal, hedge: boolean) => Promise<UpstreamAnswer>;

/** Attempts that get company while they are slow. */
export class Hedges {
  readonly #metrics: RetryMetrics;
  readonly #running: RunningRetriers;
  readonly #budget: Budget | undefined;
  readonly #retriers = new WeakMap<RetryPolicy, Retrier>();

  constructor(metrics: RetryMetrics, running: RunningRetriers, budget: Budget | undefined) {
    this.#metrics = metrics;
    this.#running = running;
    this.#budget = budget;
  }

  /** Makes one attempt, and more while it is slow, where the policy and the server allow it. */
  attempt(policy: RetryPolicy, call: HedgedCall, send: SendHedged): Promise<UpstreamAnswer> {
    const { name, upstream, tenant, annotations, serverTrusted, hasRoom, signal, trace } = call;
    const scope = { tool: name, server: upstream.id, tenant };
    const onNoHedge = (reason: GiveUpReason) => {
      this.#metrics.gaveUp(reason);
      trace?.notHedged(reason);
    };
    let attempts = 0;
    return this.#running
      .run(
        this.#retrierOf(policy),
        async ({ hedge, signal: own }) => {
          attempts++;
          if (hedge) {
            this.#metrics.retried("hedge");
            trace?.hedged(attempts);
          }
          return successOf(await send(own ?? signal, hedge));
        },
        { name, scope, signal, annotations, serverTrusted, concurrent: hasRoom, onNoHedge },
      )
      .catch(answerOf);
  }

  /** One attempt a call, so that the plugin alone decides on repeats; calls were counted by the plugin already. */
  #retrierOf(policy: RetryPolicy): Retrier {
    const known = this.#retriers.get(policy);
    if (known !== undefined) return known;
    const budget = this.#budget;
    const retrier = createRetrier(
      { maxRetries: 0, hedge: policy.hedge, budget: false },
      budget && { budget: { deposit: () => undefined, withdraw: (scope) => budget.withdraw(scope) } },
    );
    this.#retriers.set(policy, retrier);
    return retrier;
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
