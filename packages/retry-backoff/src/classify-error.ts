import type { CallError, CallPhase } from "./call-outcome.ts";
import { RetryError } from "./errors.ts";
import { type HeadersLike, parseRetryAfter } from "./retry-after.ts";

/** Codes of failures that come before anything was sent. */
const NOT_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EHOSTDOWN",
  "UND_ERR_CONNECT_TIMEOUT",
]);

const PHASES: readonly unknown[] = ["not_sent", "refused", "sent_no_response", "response_received"];
const PROGRAMMING = new Set(["TypeError", "ReferenceError", "SyntaxError", "RangeError"]);

interface Thrown {
  readonly [key: string]: unknown;
}

/**
 * Reads what a thrown value says of itself: `status`, `statusCode` or `httpStatus` (also below `response`),
 * `rpcCode` or a numeric `code`, a network code (also of the `cause`), `retryAfterMs` or headers, `phase`.
 * Nothing is guessed from message texts. A plain `Error` is an `exception`, a `TypeError` and its like
 * are mistakes in the program and not retryable, an `AbortError` is `aborted`.
 */
export function classifyError(error: unknown): CallError {
  if (typeof error !== "object" || error === null) return exception("exception");
  const thrown = error as Thrown;
  try {
    return read(thrown);
  } catch {
    return exception("exception");
  }
}

function read(thrown: Thrown): CallError {
  const name = thrown["name"];
  if (name === "AbortError") return exception("aborted");
  const response = (thrown["response"] ?? {}) as Thrown;
  const httpStatus = integer(
    thrown["httpStatus"] ??
      thrown["statusCode"] ??
      thrown["status"] ??
      response["status"] ??
      response["statusCode"],
  );
  const rpcCode = integer(thrown["rpcCode"] ?? thrown["code"]);
  const networkCode = networkCodeOf(thrown) ?? networkCodeOf((thrown["cause"] ?? {}) as Thrown);
  const timedOut = name === "TimeoutError" || (RetryError.is(thrown) && thrown.code === "attempt_timeout");
  const code = stringCode(thrown, timedOut);
  const says = httpStatus ?? rpcCode ?? networkCode;
  if (says === undefined && code === "exception" && PROGRAMMING.has(String(name)))
    return exception("program_error");
  const retryAfterMs = askedWait(thrown, response);
  return {
    kind: "error",
    code,
    phase: phaseOf(thrown["phase"], httpStatus ?? rpcCode, networkCode, code),
    ...(httpStatus !== undefined && { httpStatus }),
    ...(rpcCode !== undefined && { rpcCode }),
    ...(networkCode !== undefined && { networkCode }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

function exception(code: string): CallError {
  return { kind: "error", code, phase: "response_received" };
}

function stringCode(thrown: Thrown, timedOut: boolean): string {
  if (timedOut) return "timeout";
  const code = thrown["code"];
  return typeof code === "string" && /^[a-z][a-z_]*$/.test(code) ? code : "exception";
}

function networkCodeOf(thrown: Thrown): string | undefined {
  const code = thrown["networkCode"] ?? thrown["code"];
  return typeof code === "string" && /^(E[A-Z0-9_]+|UND_ERR_[A-Z_]+)$/.test(code) ? code : undefined;
}

function phaseOf(
  said: unknown,
  answered: number | undefined,
  networkCode: string | undefined,
  code: string,
): CallPhase {
  if (PHASES.includes(said)) return said as CallPhase;
  if (answered !== undefined) return "response_received";
  if (networkCode !== undefined) return NOT_SENT.has(networkCode) ? "not_sent" : "sent_no_response";
  return code === "timeout" ? "sent_no_response" : "response_received";
}

function askedWait(thrown: Thrown, response: Thrown): number | undefined {
  const said = thrown["retryAfterMs"];
  if (typeof said === "number" && said >= 0) return said;
  const headers = thrown["headers"] ?? response["headers"];
  return typeof headers === "object" && headers !== null
    ? parseRetryAfter(headers as HeadersLike)
    : undefined;
}

function integer(value: unknown): number | undefined {
  return Number.isInteger(value) ? (value as number) : undefined;
}
