import type { CallError, CallPhase } from "./call-outcome.ts";
import { type HeadersLike, parseRetryAfter } from "./retry-after.ts";

/** Codes of failures that come before anything was sent. */
const NOT_SENT = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT)$/;
/** Those that may also end a connection that was in use; what the system was asked for tells. */
const UNREACHABLE = /^E(HOSTUNREACH|NETUNREACH|HOSTDOWN)$/;
const PROGRAMMING = /^(Type|Reference|Syntax|Range)Error$/;
const PHASES: readonly unknown[] = ["not_sent", "refused", "sent_no_response", "response_received"];

/** The members that are looked at; any of them may be missing or something else. */
interface Thrown {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly cause?: Thrown | null;
  readonly response?: Thrown | null;
  readonly status?: unknown;
  readonly statusCode?: unknown;
  readonly httpStatus?: unknown;
  readonly rpcCode?: unknown;
  readonly networkCode?: unknown;
  readonly syscall?: unknown;
  /** Of an `AggregateError`: one for each address that was tried. */
  readonly errors?: readonly Thrown[] | null;
  readonly phase?: unknown;
  readonly retryAfterMs?: unknown;
  readonly headers?: HeadersLike | null;
}

/**
 * Reads what a thrown value says of itself: `status`, `statusCode` or `httpStatus` (also below `response`),
 * `rpcCode` or a numeric `code`, a network code (also of the `cause`), `retryAfterMs` or headers, `phase`.
 * Nothing is guessed from message texts. A plain `Error` is an `exception`, a `TypeError` and its like
 * are mistakes in the program and not retryable, an `AbortError` is `aborted`.
 */
export function classifyError(error: unknown): CallError {
  try {
    return read(error as Thrown);
  } catch {
    return callError("exception");
  }
}

function read(thrown: Thrown): CallError {
  const { name, phase, retryAfterMs } = thrown;
  if (name === "AbortError") return callError("aborted");
  // A DOMException, as `AbortSignal.timeout` makes it, has a number that is no JSON-RPC code.
  const said = thrown instanceof DOMException ? undefined : thrown.code;
  const response = thrown.response ?? {};
  const cause = thrown.cause ?? {};
  const statuses = [
    thrown.httpStatus,
    thrown.statusCode,
    thrown.status,
    response.status,
    response.statusCode,
  ];
  const httpStatus = statuses.find(isInteger);
  const rpcCode = [thrown.rpcCode, said].find(isInteger);
  const networkCode = [thrown.networkCode, said, cause.networkCode, cause.code].find(isNetworkCode);
  const answered = httpStatus ?? rpcCode;
  let code = name === "TimeoutError" ? "timeout" : "exception";
  if (typeof said === "string" && /^[a-z][a-z_]*$/.test(said)) code = said;
  else if ((answered ?? networkCode) === undefined && PROGRAMMING.test(String(name))) code = "program_error";
  const headers = thrown.headers ?? response.headers;
  const asked = typeof retryAfterMs === "number" && retryAfterMs >= 0;
  // A member that is undefined reads as one that is missing.
  return {
    kind: "error",
    code,
    phase: PHASES.includes(phase) ? phase : phaseOf(answered, networkCode, code, connected(thrown)),
    httpStatus,
    rpcCode,
    networkCode,
    retryAfterMs: asked ? retryAfterMs : headers ? parseRetryAfter(headers) : undefined,
  } as CallError;
}

function phaseOf(
  answered: number | undefined,
  networkCode: string | undefined,
  code: string,
  inUse: boolean,
): CallPhase {
  if (answered !== undefined) return "response_received";
  if (networkCode === undefined) return code.endsWith("timeout") ? "sent_no_response" : "response_received";
  return NOT_SENT.test(networkCode) || (UNREACHABLE.test(networkCode) && !inUse)
    ? "not_sent"
    : "sent_no_response";
}

/** Whether a failure of the network may be one of a connection that stood. */
function connected({ syscall, errors, cause }: Thrown): boolean {
  return [syscall, errors?.[0]?.syscall, cause?.syscall, cause?.errors?.[0]?.syscall].every(
    (call) => call !== "connect",
  );
}

function callError(code: string): CallError {
  return { kind: "error", code, phase: "response_received" };
}

function isInteger(value: unknown): value is number {
  return Number.isInteger(value);
}

function isNetworkCode(value: unknown): value is string {
  return typeof value === "string" && /^(E|UND_ERR_)[A-Z0-9_]+$/.test(value);
}
