import { encodeErrorBody, mcpHttpStatus, WireError } from "@gatewright/mcp-bridge";
import { unexpectedFailure } from "../calls/unexpected-failure.ts";
import { GatewayError } from "../errors.ts";

/** A failure as a JSON-RPC error. */
export interface FailureAnswer {
  readonly body: string;
  /** HTTP status, for transports that have one. */
  readonly status: number;
  /** HTTP headers that belong to it. */
  readonly headers: Readonly<Record<string, string>>;
  /** Value of `Retry-After`, where no header says so already. */
  readonly retryAfter?: string;
}

/** The answer to a request that failed, under the request's id where it is known. */
export function failureAnswer(error: unknown, idText: string, requestId: string): FailureAnswer {
  if (WireError.is(error)) {
    const { code, retryable, rpcCode, message, details, httpStatus: status } = error;
    const known = error.idText === "null" ? idText : error.idText;
    const data = { ...details, code, retryable, requestId };
    return { body: encodeErrorBody({ idText: known, code: rpcCode, message, data }), status, headers: {} };
  }
  const failure = GatewayError.is(error) ? error : unexpectedFailure(error);
  const { httpStatus, rpcCode, retryable } = failure.surface;
  const { details, retryAfterMs, headers, publicCode } = failure.facts;
  const data = {
    ...details,
    code: publicCode ?? failure.code,
    retryable,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    requestId,
  };
  return {
    body: encodeErrorBody({ idText, code: rpcCode, message: failure.message, data }),
    status: mcpHttpStatus(httpStatus),
    headers: { ...headers, ...(httpStatus === 413 ? { connection: "close" } : {}) },
    ...(retryAfterMs === undefined ? {} : { retryAfter: seconds(retryAfterMs) }),
  };
}

function seconds(milliseconds: number): string {
  return String(Math.max(1, Math.ceil(milliseconds / 1_000)));
}
