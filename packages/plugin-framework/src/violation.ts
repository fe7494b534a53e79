/** Why a plugin refuses a call. A refusal is a value, never an exception. */
export interface Violation {
  /** Short, for people: "rate limit exceeded". */
  readonly reason: string;
  /** One sentence more. */
  readonly description: string;
  /** Stable, lower snake case: `rate_limited`. */
  readonly code: string;
  /** Machine-readable facts without secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Filled in by the pipeline. */
  readonly pluginName?: string;
  /** Wins over the host's default status for a blocked call. */
  readonly httpStatus?: number;
  /** Wins over the host's default JSON-RPC error number. */
  readonly mcpErrorCode?: number;
  /** Response headers of the refusal; dropped when the refusal is only a shadow verdict. */
  readonly headers?: Readonly<Record<string, string>>;
}
