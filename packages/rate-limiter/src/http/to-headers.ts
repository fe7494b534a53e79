import type { Decision, Verdict } from "../decision.ts";

/** Options of {@link toHeaders}. */
export interface HeaderOptions {
  /** Wall clock in ms, for `X-RateLimit-Reset`. Default `Date.now()`. */
  readonly now?: number;
}

/**
 * The HTTP headers of a decision, allowed or refused: `X-RateLimit-Limit`, `-Remaining`, `-Reset` (unix
 * seconds), `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers, structured fields), and
 * on a refusal that waiting ends, `Retry-After` in whole seconds. The X- headers tell of one rule: on refusal
 * the one with the longest wait, on success the one with the least share left. Empty when no rule applied.
 */
export function toHeaders(decision: Decision, options: HeaderOptions = {}): Record<string, string> {
  if (decision.degraded !== undefined && decision.verdicts.length === 0) {
    return decision.allowed ? {} : { "Retry-After": retryAfter(decision.retryAfterMs) ?? "1" };
  }
  const shown = decisive(decision);
  if (shown === undefined) return {};
  const resetMs = shown.retryAfterMs === null ? shown.resetMs : Math.max(shown.resetMs, shown.retryAfterMs);
  const headers: Record<string, string> = {
    "X-RateLimit-Limit": String(shown.limit),
    "X-RateLimit-Remaining": String(shown.remaining),
    "X-RateLimit-Reset": String(Math.ceil(((options.now ?? Date.now()) + resetMs) / 1_000)),
    RateLimit: listed(decision.verdicts, available),
    "RateLimit-Policy": listed(decision.verdicts, policy),
  };
  const wait = decision.allowed ? undefined : retryAfter(decision.retryAfterMs);
  if (wait !== undefined) headers["Retry-After"] = wait;
  return headers;
}

/** The verdict that the X- headers tell of; undefined when no rule applied. */
export function decisive(decision: Decision): Verdict | undefined {
  let shown: Verdict | undefined;
  for (const verdict of decision.verdicts) {
    if (shown === undefined || outranks(verdict, shown)) shown = verdict;
  }
  return shown;
}

function outranks(a: Verdict, b: Verdict): boolean {
  if (a.allowed !== b.allowed) return !a.allowed;
  if (a.allowed) return a.remaining / a.limit < b.remaining / b.limit;
  return (a.retryAfterMs ?? Number.POSITIVE_INFINITY) > (b.retryAfterMs ?? Number.POSITIVE_INFINITY);
}

function retryAfter(ms: number | null): string | undefined {
  return ms === null ? undefined : String(Math.max(1, Math.ceil(ms / 1_000)));
}

function listed(verdicts: readonly Verdict[], write: (verdict: Verdict) => string): string {
  let text = "";
  for (const verdict of verdicts) text = text === "" ? write(verdict) : `${text}, ${write(verdict)}`;
  return text;
}

function available(verdict: Verdict): string {
  const untilReset = Math.ceil(Math.max(verdict.resetMs, verdict.retryAfterMs ?? 0) / 1_000);
  return `${quoted(verdict.rule)};r=${verdict.remaining};t=${untilReset}`;
}

function policy(verdict: Verdict): string {
  return `${quoted(verdict.rule)};q=${verdict.limit};w=${Math.ceil(verdict.windowMs / 1_000)}`;
}

/** A structured field string; rule names are plain lower snake case. */
function quoted(name: string): string {
  return `"${name}"`;
}
