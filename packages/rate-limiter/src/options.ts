import { z } from "zod";
import { parseRate } from "./rate.ts";

const rateText = z.string().superRefine((text, context) => {
  const parsed = parseRate(text);
  if (typeof parsed === "string") context.addIssue({ code: "custom", message: parsed });
});

const burst = z.int().min(1).max(1_000_000);

/** A rate alone, or with a burst of its own (`token_bucket` and `gcra`). */
const rate = z.union([rateText, z.strictObject({ rate: rateText, burst: burst.optional() })], {
  error: (issue) =>
    typeof issue.input === "string"
      ? rateProblem(issue.input)
      : "write a rate such as 30/m, or { rate, burst }",
});

const ratesByName = z.record(z.string().min(1), rate);

const dimension = z.enum(["user", "tenant", "tool", "prompt", "resource", "server", "ip"]);

/** A rule of one's own making: counts by several dimensions at once, for example per user and tool. */
const composite = z.strictObject({
  by: z.array(dimension).min(1).max(7),
  rate: rateText,
  burst: burst.optional(),
});

/** The rules of a limiter; all keys optional. Every rate is `count/[n]unit`. */
export const rulesSchema = z.strictObject({
  by_user: rate.optional(),
  by_tenant: rate.optional(),
  by_ip: rate.optional(),
  by_tool: ratesByName.optional(),
  by_prompt: ratesByName.optional(),
  by_resource: ratesByName.optional(),
  by_server: ratesByName.optional(),
  composite: z
    .record(
      z.string().regex(/^(?!by_)[a-z][a-z0-9_]{0,39}$/, "use lower snake case, not beginning with by_"),
      composite,
    )
    .optional(),
});

/** The keys of a limiter's configuration, with their defaults. */
const limiterObject = z.strictObject({
  rules: rulesSchema.default({}),
  algorithm: z
    .enum(["fixed_window", "sliding_window", "sliding_log", "token_bucket", "gcra"])
    .default("fixed_window"),
  failurePolicy: z.enum(["open", "closed", "local"]).default("open"),
  timeoutMs: z.int().min(1).max(60_000).default(250),
  breaker: z
    .strictObject({
      failures: z.int().min(1).max(1_000).default(3),
      openMs: z.int().min(1).max(600_000).default(1_000),
    })
    .prefault({}),
  lease: z
    .strictObject({
      size: z.int().min(1).max(100_000),
      ttlMs: z.int().min(10).max(60_000).default(1_000),
    })
    .optional(),
  localMaxKeys: z.int().min(16).max(10_000_000).default(100_000),
});

/** The configuration of a limiter: each key, then what they must mean together. */
export const limiterOptionsSchema = limiterObject.superRefine((options, context) => {
  const windows = options.algorithm === "fixed_window" || options.algorithm === "sliding_window";
  if (options.lease && !windows) {
    const message = `leased tokens need fixed_window or sliding_window: spent late, they would break the bound of ${options.algorithm}`;
    context.addIssue({ code: "custom", path: ["lease"], message });
  }
  if (options.algorithm === "token_bucket" || options.algorithm === "gcra") return;
  for (const path of burstPaths(options.rules)) {
    context.addIssue({
      code: "custom",
      path: ["rules", ...path, "burst"],
      message: `only token_bucket and gcra have a burst, not ${options.algorithm}`,
    });
  }
});

function burstPaths(rules: z.output<typeof rulesSchema>): string[][] {
  return Object.entries(rules).flatMap(([name, rule]) => {
    if (typeof rule !== "object") return [];
    if ("burst" in rule && typeof rule.burst === "number") return [[name]];
    return Object.entries(rule)
      .filter(([, inner]) => typeof inner === "object" && inner !== null && inner.burst !== undefined)
      .map(([inner]) => [name, inner]);
  });
}

/** The rules of a limiter, as written in a configuration. */
export interface LimiterRules {
  /** Per user; a check without a user counts for `anonymous`. */
  readonly by_user?: RateOption | undefined;
  readonly by_tenant?: RateOption | undefined;
  readonly by_ip?: RateOption | undefined;
  /** Per tool named here, over all users of a tenant. */
  readonly by_tool?: Readonly<Record<string, RateOption>> | undefined;
  readonly by_prompt?: Readonly<Record<string, RateOption>> | undefined;
  readonly by_resource?: Readonly<Record<string, RateOption>> | undefined;
  readonly by_server?: Readonly<Record<string, RateOption>> | undefined;
  /** Rules by several dimensions at once, by name. */
  readonly composite?: Readonly<Record<string, CompositeRule>> | undefined;
}

/** `"30/m"`, or the same with a burst. */
export type RateOption = string | { readonly rate: string; readonly burst?: number | undefined };

/** A rule that counts by all of `by` together; skipped when one of them is missing. */
export interface CompositeRule {
  readonly by: readonly ("user" | "tenant" | "tool" | "prompt" | "resource" | "server" | "ip")[];
  readonly rate: string;
  readonly burst?: number | undefined;
}

/** The configuration of {@link createRateLimiter}. */
export interface RateLimiterOptions {
  /** Default: none, which allows everything. */
  readonly rules?: LimiterRules | undefined;
  /** Default `fixed_window`. */
  readonly algorithm?:
    | "fixed_window"
    | "sliding_window"
    | "sliding_log"
    | "token_bucket"
    | "gcra"
    | undefined;
  /** What decides when a remote store does not answer. Default `open`. */
  readonly failurePolicy?: "open" | "closed" | "local" | undefined;
  /** Longest wait for a remote store, ms. Default 250. */
  readonly timeoutMs?: number | undefined;
  /** Stops asking a store that fails: after `failures` in a row (default 3) for `openMs` (default 1 000). */
  readonly breaker?:
    | { readonly failures?: number | undefined; readonly openMs?: number | undefined }
    | undefined;
  /**
   * Reserve tokens in blocks of `size` and spend them here for `ttlMs` (default 1 000). Off by default; needs a
   * remote store, `fixed_window` or `sliding_window`, and acts on limits of at least 10 × `size`.
   */
  readonly lease?: { readonly size: number; readonly ttlMs?: number | undefined } | undefined;
  /** Bound of the memory store behind the policy `local`. Default 100 000. */
  readonly localMaxKeys?: number | undefined;
}

/** The configuration with every default filled in. */
export type ResolvedOptions = z.output<typeof limiterOptionsSchema>;

function rateProblem(text: string): string {
  const parsed = parseRate(text);
  return typeof parsed === "string" ? parsed : "not a rate";
}
