import { ERROR_SURFACES, type ErrorSurface, type GatewayErrorCode } from "@gatewright/mcp-bridge";

const brand = Symbol.for("@gatewright/gateway/error");

/** What a {@link GatewayError} may carry beside code and message. */
export interface GatewayErrorFacts {
  readonly cause?: unknown;
  /** Facts for the caller, safe to send. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Milliseconds after which a repeat makes sense. */
  readonly retryAfterMs?: number;
  /** Response headers of the refusal. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Wins over the code's HTTP status. */
  readonly httpStatus?: number;
  /** Wins over the code's JSON-RPC number. */
  readonly rpcCode?: number;
  /** Wins over what the code says of repeating the request. */
  readonly retryable?: boolean;
  /** Sent as `error.data.code` instead of the code: a plugin's own word. */
  readonly publicCode?: string;
}

/**
 * An expected failure of the gateway: a stable `code` (see `ERROR_SURFACES` of mcp-bridge for status and
 * JSON-RPC number), a message for people and facts without secrets.
 */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  readonly code: GatewayErrorCode;
  readonly facts: GatewayErrorFacts;

  constructor(code: GatewayErrorCode, message: string, facts: GatewayErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.facts = facts;
    Object.defineProperty(this, brand, { value: true });
  }

  /** HTTP status, JSON-RPC number and whether the same request may succeed later. */
  get surface(): ErrorSurface {
    const { httpStatus, rpcCode, retryable } = ERROR_SURFACES[this.code];
    return {
      httpStatus: this.facts.httpStatus ?? httpStatus,
      rpcCode: this.facts.rpcCode ?? rpcCode,
      retryable: this.facts.retryable ?? retryable,
    };
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return this.surface.retryable;
  }

  /** Whether `value` is a gateway error, of this copy of the code or another. */
  static is(value: unknown): value is GatewayError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
