import type { JsonObject } from "./message.ts";

/** JSON-RPC numbers that MCP and JSON-RPC define. */
export const RPC = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  headerMismatch: -32020,
  missingClientCapability: -32021,
  unsupportedProtocolVersion: -32022,
} as const;

const BRAND = Symbol.for("@gatewright/mcp-bridge/wire-error");

/** Stable codes of {@link WireError}. */
export type WireErrorCode =
  | "parse_error"
  | "too_deep"
  | "too_large"
  | "invalid_request"
  | "invalid_params"
  | "header_mismatch"
  | "unsupported_version"
  | "method_not_allowed";

const TABLE: Record<WireErrorCode, { readonly rpcCode: number; readonly httpStatus: number }> = {
  parse_error: { rpcCode: RPC.parseError, httpStatus: 400 },
  too_deep: { rpcCode: RPC.invalidRequest, httpStatus: 400 },
  too_large: { rpcCode: RPC.invalidRequest, httpStatus: 413 },
  invalid_request: { rpcCode: RPC.invalidRequest, httpStatus: 400 },
  invalid_params: { rpcCode: RPC.invalidParams, httpStatus: 400 },
  header_mismatch: { rpcCode: RPC.headerMismatch, httpStatus: 400 },
  unsupported_version: { rpcCode: RPC.unsupportedProtocolVersion, httpStatus: 400 },
  method_not_allowed: { rpcCode: RPC.invalidRequest, httpStatus: 405 },
};

/**
 * A message that cannot be accepted as it is. Carries what an answer needs: HTTP status, JSON-RPC number, the
 * request's id as raw JSON text where it could be read.
 */
export class WireError extends Error {
  override readonly name = "WireError";
  readonly code: WireErrorCode;
  readonly retryable = false;
  readonly rpcCode: number;
  readonly httpStatus: number;
  /** Raw JSON text of the request's id; `"null"` where there is none or it cannot be read. */
  readonly idText: string;
  /** `error.data` of the answer. */
  readonly details: JsonObject | undefined;
  readonly [BRAND] = true;

  constructor(
    code: WireErrorCode,
    message: string,
    options: { readonly idText?: string; readonly details?: JsonObject; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.rpcCode = TABLE[code].rpcCode;
    this.httpStatus = TABLE[code].httpStatus;
    this.idText = options.idText ?? "null";
    this.details = options.details;
  }

  /** True for a wire error of any copy of this package. */
  static is(value: unknown): value is WireError {
    return typeof value === "object" && value !== null && BRAND in value;
  }
}
