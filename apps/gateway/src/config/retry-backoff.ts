import { parsePolicy, RetryError, type RetryPolicyInput } from "@gatewright/retry-backoff";
import { z } from "zod";
import type { ConfigProblem } from "./config-error.ts";
import type { PluginEntry } from "./plugin-framework.ts";

const budget = z.strictObject({
  ratio: z.number().min(0).max(1).default(0.2).describe("Retries that each call earns."),
  floorPerSecond: z.number().min(0).default(10).describe("Retries a second that need no calls to earn them."),
  burst: z.number().min(0).default(100).describe("Most earned retries that are saved up."),
  maxKeys: z.int().positive().default(10_000).describe("Counters per level: tools, servers, tenants."),
});

/** The gateway's own side of repeating calls; the policy itself is the `retry` plugin's config. */
export const retryConfig = z
  .strictObject({
    maxToolRetries: z
      .int()
      .min(0)
      .max(10)
      .default(3)
      .describe("Ceiling on repeats of one call, whatever a policy asks for."),
    budget: z
      .union([z.literal(false), budget])
      .prefault({})
      .describe("Retries as a share of the calls, per tool, server, tenant and in all; `false` is without."),
    chargeEachAttempt: z
      .boolean()
      .default(false)
      .describe("Ask the plugins before a call, the rate limiter among them, again before each repeat."),
  })
  .prefault({});

/** The entry that stands for `retry` when `plugins[]` does not name it: the package's default policy. */
export const defaultRetryEntry: PluginEntry = { name: "retry", mode: "enforce", priority: 900, config: {} };

/** What is wrong with the retry policies of `plugins[]`, each with its path. */
export function retryPolicyProblems(plugins: readonly PluginEntry[]): ConfigProblem[] {
  return plugins.flatMap((entry, index) => {
    if (entry.name !== defaultRetryEntry.name) return [];
    try {
      parsePolicy(entry.config as RetryPolicyInput);
      return [];
    } catch (error) {
      if (!RetryError.is(error)) throw error;
      return issuesOf(error).map((issue) => problemAt(`plugins.${index}.config`, issue));
    }
  });
}

function issuesOf(error: RetryError): readonly string[] {
  const issues = error.details["issues"];
  return Array.isArray(issues) ? issues.map(String) : [error.message];
}

/** The package writes `path: what is wrong`. */
function problemAt(place: string, issue: string): ConfigProblem {
  const at = issue.indexOf(": ");
  return at < 0
    ? { path: place, message: issue }
    : { path: `${place}.${issue.slice(0, at)}`, message: issue.slice(at + 2) };
}
