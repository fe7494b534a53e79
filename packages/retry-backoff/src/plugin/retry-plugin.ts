import type {
  HookOutcome,
  PluginContext,
  PluginDefinition,
  PluginInstance,
  PostPayload,
} from "@gatewright/plugin-framework";
import type { Budget } from "../budget.ts";
import type { CallOutcome } from "../call-outcome.ts";
import { type Clock, systemClock } from "../clock.ts";
import { type Decision, decideOn, signalOf } from "../decide.ts";
import { createBudget } from "../memory-budget.ts";
import { type RetryObserver, tell } from "../observer.ts";
import { parsePolicy, type RetryPolicy, type RetryPolicyInput } from "../policy.ts";
import { policySchema } from "../policy-schema.ts";
import type { GiveUpReason } from "../reasons.ts";
import { scanResult } from "./scan-result.ts";

/** What the host lends to the plugin; everything has a default. */
export interface RetryPluginDeps {
  readonly clock?: Clock;
  /** Uniform in [0, 1). Default `Math.random`. */
  readonly random?: () => number;
  /** One budget for all tools, servers and tenants; lives with the host, so it survives reloads. */
  readonly budget?: Budget;
  /** No policy may ask for more retries. Default 3. */
  readonly maxToolRetries?: number;
  /** Whether the breaker of a server is open. */
  readonly circuitOpen?: (serverId: string) => boolean;
  readonly observer?: RetryObserver;
  /** Hears each warning of a policy that was clamped. */
  readonly onWarning?: (warning: string) => void;
}

interface CallState {
  readonly startedAt: number;
  previousDelayMs?: number;
}

const STATE = "call";
const post = { phase: "sequential", reads: "outcome" } as const;

/**
 * The plugin `retry`: looks at the outcome of every attempt of a tool, prompt or resource call and asks the
 * host for another one by `retryDelayMs`. The host sleeps and calls again. A failure always leaves its
 * decision with the reason in `metadata.decision`; a success leaves nothing.
 *
 * Its config is the retry policy. An invalid one is refused when the pipeline is built.
 */
export function retryPlugin(deps: RetryPluginDeps = {}): PluginDefinition<RetryPolicyInput> {
  return {
    name: "retry",
    version: "0.1.0",
    description: "Asks for another attempt when a call failed, may be repeated, and the budget allows it.",
    tags: ["reliability"],
    hooks: { tool_post_invoke: post, prompt_post_fetch: post, resource_post_fetch: post },
    configSchema: policySchema,
    create: (config) => createInstance(config, deps),
  };
}

function createInstance(config: RetryPolicyInput, deps: RetryPluginDeps): PluginInstance {
  const { clock = systemClock, random, observer, maxToolRetries = 3 } = deps;
  const policy = parsePolicy(config, { maxToolRetries });
  for (const warning of policy.warnings) deps.onWarning?.(warning);
  const budget = deps.budget ?? (policy.budget ? createBudget(policy.budget, { clock }) : undefined);
  const counts = { retries: 0, giveUps: {} as Partial<Record<GiveUpReason, number>> };

  const answer = (decision: Decision, payload: PostPayload, state: CallState): HookOutcome<PostPayload> => {
    const info = observer && { name: payload.name, attempts: payload.attempt };
    if (decision.retry) {
      counts.retries++;
      state.previousDelayMs = decision.delayMs;
      if (info) tell(observer, "onRetry", decision, info);
      return { retryDelayMs: decision.delayMs, metadata: { decision } };
    }
    counts.giveUps[decision.reason] = (counts.giveUps[decision.reason] ?? 0) + 1;
    if (info) {
      tell(observer, "onDone", { ...info, ok: false });
      tell(observer, "onGiveUp", decision, info);
    }
    return { metadata: { decision } };
  };

  const handle = (payload: Readonly<PostPayload>, context: PluginContext) => {
    const { name, attempt, outcome } = payload;
    const { serverId, tenantId } = context;
    const scope = { tool: name, server: serverId, tenant: tenantId };
    if (attempt === 1) budget?.deposit(scope);
    const own: RetryPolicy = policy.for(name);
    const seen = readable(outcome);
    const failure = signalOf(seen, own);
    // Most calls succeed: they get by without a state of their own.
    if (failure === undefined) {
      if (observer) tell(observer, "onDone", { name, attempts: attempt, ok: true });
      return undefined;
    }
    const state = stateOf(context, clock);
    const decision = decideOn(failure, seen, {
      policy: payload.attemptsLeft === 0 ? { ...own, maxRetries: 0 } : own,
      attempt,
      annotations: payload.annotations,
      serverTrusted: payload.serverTrusted,
      idempotencyKey: payload.idempotencyKey,
      previousDelayMs: state.previousDelayMs,
      remainingMs: remainingOf(payload, own, state, clock),
      circuitOpen: serverId !== undefined && deps.circuitOpen?.(serverId),
      signal: context.signal,
      budget,
      scope,
      random,
    });
    return "then" in decision
      ? decision.then((late) => answer(late, payload, state))
      : answer(decision, payload, state);
  };

  const everywhere = policy.preset !== "contextforge";
  return {
    hooks: {
      tool_post_invoke: handle,
      // The reference plugin only annotates resources and has no prompt hook.
      ...(everywhere && { prompt_post_fetch: handle, resource_post_fetch: handle }),
    },
    stats: () => ({ ...counts, giveUps: { ...counts.giveUps }, warnings: policy.warnings }),
  };
}

/** What the host leaves, and what the policy leaves counted from the first outcome; undefined without a limit. */
function remainingOf(
  { remainingMs }: PostPayload,
  { totalDeadlineMs }: RetryPolicy,
  { startedAt }: CallState,
  clock: Clock,
): number | undefined {
  if (totalDeadlineMs === undefined) return remainingMs;
  const ownMs = startedAt + totalDeadlineMs - clock.now();
  return remainingMs === undefined ? ownMs : Math.min(remainingMs, ownMs);
}

/** A large result comes as its JSON bytes; only the members that matter are read from it. */
function readable(outcome: CallOutcome): CallOutcome {
  return outcome.kind === "result" && ArrayBuffer.isView(outcome.result)
    ? { ...outcome, result: scanResult(outcome.result as Uint8Array) }
    : outcome;
}

/** Kept in the context of one call, so parallel calls never share it and it is freed with the context. */
function stateOf(context: PluginContext, clock: Clock): CallState {
  const known = context.state.get(STATE) as CallState | undefined;
  if (known !== undefined) return known;
  const fresh: CallState = { startedAt: clock.now() };
  context.state.set(STATE, fresh);
  return fresh;
}
