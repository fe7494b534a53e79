import type { z } from "zod";
import { RetryError } from "./errors.ts";
import { createGlobLookup } from "./glob.ts";
import type { Jitter } from "./jitter.ts";
import { describeIssues, suggestKeys } from "./policy-issues.ts";
import { budgetSchema, type overrideSchema, policySchema } from "./policy-schema.ts";
import { expandStatuses } from "./status-set.ts";

/** A policy as a configuration writes it; every key is optional. See {@link RetryPolicy} for meanings. */
export type RetryPolicyInput = z.input<typeof policySchema>;

/** Options of a budget. Defaults: ratio 0.2, floorPerSecond 10, burst 100, maxKeys 10 000. */
export type BudgetOptions = z.input<typeof budgetSchema>;

/** A checked policy. Immutable; make one with {@link parsePolicy}. Times are milliseconds. */
export interface RetryPolicy {
  readonly preset: "default" | "contextforge";
  /** Retries beyond the first call; 0 is one call. Default 2. */
  readonly maxRetries: number;
  /** First ceiling. Default 200. */
  readonly baseMs: number;
  /** Largest ceiling, at least `baseMs`. Default 5 000. */
  readonly maxMs: number;
  /** Default `full`. */
  readonly jitter: Jitter;
  /** Statuses that may pass, from 408, 429, 500, 502, 503, 504 or ranges as `5xx` and `500-504`. */
  readonly statuses: ReadonlySet<number>;
  /** Parse text items as JSON to find a status. Default false. */
  readonly checkTextContent: boolean;
  /** Wait at least as long as the other side asks. Default true. */
  readonly respectRetryAfter: boolean;
  /** Give up when more is asked for. Default 30 000. */
  readonly maxRetryAfterMs: number;
  /** Limit over all attempts and sleeps. Default none. */
  readonly totalDeadlineMs?: number | undefined;
  /** Limit of one attempt. Default none. */
  readonly attemptTimeoutMs?: number | undefined;
  /** No attempt starts with less time left. Default 10. */
  readonly minAttemptMs: number;
  /** Repeat calls that may have been executed. Default false. */
  readonly repeatUnsafe: boolean;
  /** Treat every error without a status as one that may pass. Default false. */
  readonly retryEveryError: boolean;
  /** Start a second attempt of a slow read-only call. Default off. */
  readonly hedge: false | { readonly delayMs: number; readonly maxHedges: number };
  /** Share of traffic that may be retries. Default on, see {@link BudgetOptions}. */
  readonly budget: false | Required<BudgetOptions>;
  /** What was clamped while parsing, in words. */
  readonly warnings: readonly string[];
  /** The policy that holds for a tool: an exact name beats a glob, a longer glob beats a shorter one. */
  for(name: string | undefined): RetryPolicy;
}

/** Limits a host puts on every policy. */
export interface PolicyCeilings {
  /** Larger `maxRetries` are clamped with a warning, those of overrides too. Default: no ceiling. */
  readonly maxToolRetries?: number;
}

type Changes = z.output<typeof overrideSchema>;
type DefaultKey = Exclude<keyof Changes, "totalDeadlineMs" | "attemptTimeoutMs">;
type SettingOf<Key extends keyof Changes> = Exclude<Changes[Key], undefined>;
type Settings = Changes & { [Key in DefaultKey]: SettingOf<Key> };

const defaults: Settings = {
  maxRetries: 2,
  baseMs: 200,
  maxMs: 5_000,
  jitter: "full",
  retryOnStatus: [408, 429, 500, 502, 503, 504],
  checkTextContent: false,
  respectRetryAfter: true,
  maxRetryAfterMs: 30_000,
  minAttemptMs: 10,
  repeatUnsafe: false,
  retryEveryError: false,
  hedge: false,
};

const contextforge: Settings = {
  ...defaults,
  retryOnStatus: [429, 500, 502, 503, 504],
  respectRetryAfter: false,
  repeatUnsafe: true,
  retryEveryError: true,
};

/**
 * Checks a policy and fills its defaults. A policy that is already checked comes back as it is.
 *
 * @throws RetryError `invalid_policy`, with the path of each mistake and the nearest right key.
 */
export function parsePolicy(
  input: RetryPolicyInput | RetryPolicy = {},
  { maxToolRetries = 100 }: PolicyCeilings = {},
): RetryPolicy {
  if (isPolicy(input)) return input;
  const parsed = policySchema.safeParse(input, { error: suggestKeys });
  if (!parsed.success) refuse(describeIssues(parsed.error.issues));
  const {
    preset = "default",
    overrides = {},
    budget = preset === "default" && budgetSchema.parse({}),
    ...changes
  } = parsed.data;
  const warnings: string[] = [];
  const build = (path: string, { retryOnStatus, ...settings }: Settings): RetryPolicy => {
    const { baseMs, maxMs, maxRetries } = settings;
    if (maxMs < baseMs) refuse([`${path}maxMs: ${maxMs} is less than baseMs ${baseMs}`]);
    if (maxRetries > maxToolRetries) {
      warnings.push(`${path}maxRetries: ${maxRetries} is clamped to ${maxToolRetries}`);
    }
    return Object.freeze({
      ...settings,
      maxRetries: Math.min(maxRetries, maxToolRetries),
      preset,
      budget,
      warnings,
      statuses: expandStatuses(retryOnStatus),
      for: (name: string | undefined) => (name === undefined ? policy : lookup(name)),
    });
  };
  const base = merge(preset === "default" ? defaults : contextforge, changes);
  const policy = build("", base);
  const lookup = createGlobLookup(
    Object.entries(overrides).map(([glob, changed]) => [
      glob,
      build(`overrides.${glob}.`, merge(base, changed)),
    ]),
    policy,
  );
  return policy;
}

/** Lays `changed` over `base`; a key that is there but undefined changes nothing. */
function merge(base: Settings, changed: Changes): Settings {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(changed)) merged[key] = value ?? merged[key];
  return merged as Settings;
}

function isPolicy(input: RetryPolicyInput | RetryPolicy): input is RetryPolicy {
  return (input as Partial<RetryPolicy> | null)?.statuses instanceof Set;
}

function refuse(issues: readonly string[]): never {
  throw new RetryError("invalid_policy", `invalid retry policy: ${issues.join("; ")}`, {
    details: { issues },
  });
}
