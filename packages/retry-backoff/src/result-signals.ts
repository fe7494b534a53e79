import type { RetryPolicy } from "./policy.ts";
import type { RetryReason } from "./reasons.ts";

/** What a failure was found by; `undefined` stands for no failure, `not_retryable` for one that stays. */
export type Signal = RetryReason | "not_retryable" | undefined;

/** Lists, texts and numbers have neither member, so they need no test of their own. */
interface Structured {
  readonly isError?: unknown;
  readonly status_code?: unknown;
}

/** What is looked at may be anything. */
interface Looked extends Pick<RetryPolicy, "checkTextContent"> {
  readonly statuses: ReadonlySet<unknown>;
}

interface ResultLike {
  readonly isError?: unknown;
  readonly structuredContent?: Structured | null;
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

function signalOf(result: ResultLike, { statuses, checkTextContent }: Looked): Signal {
  if (result.resultType === "input_required") return undefined;
  const structured = result.structuredContent;
  if (result.isError === true) {
    const status = structured?.status_code;
    return !Number.isInteger(status) || statuses.has(status) ? "is_error" : "not_retryable";
  }
  if (structured) return saysFailure(structured, statuses) ? "structured_error" : undefined;
  if (!checkTextContent || !Array.isArray(result.content)) return undefined;
  return result.content.some((item) => item?.type === "text" && saysFailure(parse(item.text), statuses))
    ? "text_error"
    : undefined;
}

function saysFailure(value: Structured | null | undefined, statuses: ReadonlySet<unknown>): boolean {
  if (value?.isError === true) return true;
  const status = value?.status_code;
  return typeof status === "number" && statuses.has(status);
}

function parse(text: string): Structured | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
