import type { RetryPolicy } from "./policy.ts";
import type { RetryReason } from "./reasons.ts";

/** What a failure was found by; `undefined` stands for no failure, `not_retryable` for one that stays. */
export type Signal = RetryReason | "not_retryable" | undefined;

interface ResultLike {
  readonly isError?: unknown;
  readonly structuredContent?: unknown;
  readonly content?: unknown;
  readonly resultType?: unknown;
}

/**
 * Looks for a failure in a result: `isError`, then `structuredContent`, then (with `checkTextContent` and
 * no structured content) each text item. Only reads properties, so proxies, getters and frozen objects
 * are all right; a getter that throws hides its result.
 */
export function resultSignal(result: unknown, policy: RetryPolicy): Signal {
  if (typeof result !== "object" || result === null) return undefined;
  try {
    return signalOf(result, policy);
  } catch {
    return undefined;
  }
}

function signalOf(result: ResultLike, policy: RetryPolicy): Signal {
  if (result.resultType === "input_required") return undefined;
  const structured = result.structuredContent;
  if (result.isError === true) {
    const status = statusOf(structured);
    return status === undefined || policy.statuses.has(status) ? "is_error" : "not_retryable";
  }
  if (structured === undefined || structured === null) {
    return policy.checkTextContent ? textSignal(result.content, policy) : undefined;
  }
  return saysFailure(structured, policy) ? "structured_error" : undefined;
}

function statusOf(value: unknown): number | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const status = (value as { status_code?: unknown }).status_code;
  return Number.isInteger(status) ? (status as number) : undefined;
}

function saysFailure(value: unknown, policy: RetryPolicy): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  if ((value as { isError?: unknown }).isError === true) return true;
  const status = statusOf(value);
  return status !== undefined && policy.statuses.has(status);
}

function textSignal(content: unknown, policy: RetryPolicy): Signal {
  if (!Array.isArray(content)) return undefined;
  const failed = content.some((item: { type?: unknown; text?: unknown } | null | undefined) => {
    if (item?.type !== "text" || typeof item.text !== "string") return false;
    try {
      return saysFailure(JSON.parse(item.text), policy);
    } catch {
      return false;
    }
  });
  return failed ? "text_error" : undefined;
}
