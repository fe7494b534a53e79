import type { PluginDefinition } from "@gatewright/plugin-framework";
import {
  type BudgetOptions,
  createBudget,
  parsePolicy,
  type RetryPolicyInput,
} from "@gatewright/retry-backoff";
import { retryPlugin } from "@gatewright/retry-backoff/plugin";
import { type KeptBudget, RetryLayer, type RetryLayerDeps } from "../calls/retry-layer.ts";
import { withServerTools } from "../calls/server-tools.ts";
import { ConfigError } from "../config/config-error.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { retryPolicyProblems } from "../config/retry-backoff.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";

/** The built-in plugin `retry`, which asks for attempts, and the layer that makes them. */
export interface RetryWiring {
  readonly definition: PluginDefinition;
  readonly layer: RetryLayer;
}

/** What the wiring needs beside what the layer does. */
export interface RetryWiringDeps extends Omit<RetryLayerDeps, "chargeEachAttempt"> {
  /** Where it is there, all replicas spend from one budget. */
  readonly redis?: RedisConnections | undefined;
  readonly onWarning: (warning: string) => void;
}

/**
 * Wires the plugin to the gateway: one budget for all calls, which outlives reloads of the plugin.
 *
 * @throws {ConfigError} naming every mistake of a policy with its path
 */
export async function wireRetry(config: GatewayConfig, deps: RetryWiringDeps): Promise<RetryWiring> {
  const problems = retryPolicyProblems(config.plugins);
  if (problems.length > 0) throw new ConfigError(problems);
  const { maxToolRetries, chargeEachAttempt } = config.retry;
  const layer = new RetryLayer({ ...deps, chargeEachAttempt });
  const budgetFor = keepBudget(deps.redis ? await sharedBudget(deps.redis) : createBudget);
  const plain = retryPlugin();
  const definition: PluginDefinition<RetryPolicyInput> = {
    ...plain,
    create(given, host) {
      const options = budgetOptions(given, config.retry.budget);
      const budget = budgetFor(options);
      const parse = (input: RetryPolicyInput) =>
        parsePolicy({ ...input, budget: options }, { maxToolRetries });
      const plain = parse(withoutHedges(given));
      layer.adopt({ policy: parse(given), plain, limited: limitsAnything(given), budget });
      const { circuitOpen, onWarning } = deps;
      const plugin = retryPlugin({ maxToolRetries, circuitOpen, onWarning, ...(budget && { budget }) });
      return plugin.create({ ...given, budget: options }, host);
    },
  };
  return { definition: definition as PluginDefinition, layer };
}

/** A policy's own budget counts before the gateway's; the preset for migration knows none. */
function budgetOptions(
  policy: RetryPolicyInput,
  common: GatewayConfig["retry"]["budget"],
): false | BudgetOptions {
  return policy.budget ?? (policy.preset === "contextforge" ? false : common);
}

type MakeBudget = (options: BudgetOptions) => KeptBudget;

/** Budgets that all replicas spend from. */
async function sharedBudget({ commands: client, prefix }: RedisConnections): Promise<MakeBudget> {
  const { createRedisBudget } = await import("@gatewright/retry-backoff/redis");
  return (options) => createRedisBudget({ ...options, client, prefix });
}

/** Makes a budget, and the same one again for the same options. */
function keepBudget(make: MakeBudget): (options: false | BudgetOptions) => KeptBudget | undefined {
  let kept: { readonly text: string; readonly budget: KeptBudget } | undefined;
  return (options) => {
    if (options === false) return undefined;
    const text = JSON.stringify(options);
    if (kept?.text === text) return kept.budget;
    void kept?.budget.close?.();
    kept = { text, budget: withServerTools(make(options)) };
    return kept.budget;
  };
}

function withoutHedges(policy: RetryPolicyInput): RetryPolicyInput {
  const { overrides = {}, ...own } = policy;
  const plain = Object.entries(overrides).map(([glob, changed]) => [glob, { ...changed, hedge: false }]);
  return { ...own, hedge: false, overrides: Object.fromEntries(plain) };
}

/** Whether the loop has anything to do beside repeating. */
function limitsAnything(policy: RetryPolicyInput): boolean {
  return [policy, ...Object.values(policy.overrides ?? {})].some(
    ({ totalDeadlineMs, attemptTimeoutMs, minAttemptMs, hedge }) =>
      (totalDeadlineMs ?? attemptTimeoutMs ?? minAttemptMs) !== undefined ||
      (hedge !== undefined && hedge !== false),
  );
}
