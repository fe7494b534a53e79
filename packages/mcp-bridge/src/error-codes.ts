/** How a code of ours looks on each surface. */
export interface ErrorSurface {
  /** HTTP status on REST routes. */
  readonly httpStatus: number;
  /** JSON-RPC error number. */
  readonly rpcCode: number;
  /** True when the same request may succeed later without change. */
  readonly retryable: boolean;
}

const at = (httpStatus: number, rpcCode: number, retryable = false): ErrorSurface => ({
  httpStatus,
  rpcCode,
  retryable,
});

/**
 * Every gateway error code with its HTTP status and its JSON-RPC number. The numbers lie outside the range that
 * JSON-RPC and MCP reserve (−32768 … −32000).
 */
export const ERROR_SURFACES = {
  rate_limited: at(429, -31001, true),
  cost_exceeds_limit: at(429, -31001),
  backend_unavailable: at(503, -31002, true),
  pool_capacity: at(503, -31002, true),
  acquire_timeout: at(503, -31002, true),
  overloaded: at(503, -31002, true),
  session_owner_unreachable: at(503, -31002, true),
  pool_exhausted: at(503, -31002, true),
  tx_conflict: at(503, -31002, true),
  db_unavailable: at(503, -31002, true),
  db_timeout: at(503, -31002, true),
  db_fenced: at(503, -31002, true),
  hedge_needs_session: at(503, -31002),
  upstream_unreachable: at(502, -31002, true),
  upstream_timeout: at(504, -31003),
  plugin_timeout: at(504, -31003, true),
  outcome_unknown: at(502, -31004),
  unsafe_to_repeat: at(502, -31004),
  unauthorized: at(401, -31005),
  forbidden: at(403, -31005),
  plugin_blocked: at(403, -31006),
  plugin_error: at(500, -32603),
  validation_failed: at(422, -32602),
  not_found: at(404, -32602),
  conflict: at(409, -32602),
  payload_too_large: at(413, -32602),
} as const satisfies { readonly [code: string]: ErrorSurface };

/** A gateway error code. */
export type GatewayErrorCode = keyof typeof ERROR_SURFACES;

const MCP_STATUSES: ReadonlySet<number> = new Set([400, 401, 403, 404, 405, 413, 429, 503]);

/** HTTP status of an error on an MCP route: those a client acts on keep theirs, every other error is HTTP 200. */
export function mcpHttpStatus(httpStatus: number): number {
  return MCP_STATUSES.has(httpStatus) ? httpStatus : 200;
}
