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

function signalOf(result: ResultLike, { statuses, checkTextContent }: RetryPolicy): Signal {
  if (result.resultType === "input_required") return undefined;
  const structured = result.structuredContent ?? undefined;
  if (result.isError === true) {
    const status = isRecord(structured) && structured["status_code"];
    return !Number.isInteger(status) || statuses.has(status as number) ? "is_error" : "not_retryable";
  }
  if (structured !== undefined) return saysFailure(structured, statuses) ? "structured_error" : undefined;
  if (!checkTextContent || !Array.isArray(result.content)) return undefined;
  return result.content.some((item) => item?.type === "text" && saysFailure(parse(item.text), statuses))
    ? "text_error"
    : undefined;
}

function saysFailure(value: unknown, statuses: ReadonlySet<unknown>): boolean {
  return isRecord(value) && (value["isError"] === true || statuses.has(value["status_code"]));
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
