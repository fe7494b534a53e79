import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type { Exchange } from "../mcp/exchange.ts";

/** The span of one call. */
export interface CallTrace {
  /** `_meta` for the upstream: `own`, with the trace context of the span in it. */
  meta(own: unknown): Readonly<Record<string, unknown>>;
  /** Attempt `attempt` follows after `delayMs`. */
  retried(attempt: number, delayMs: number, reason: string): void;
  /** The upstream refused the request for its session or its credentials: it is sent once more in a new session. */
  renewed(): void;
  /** A further attempt runs beside one that is slow. */
  hedged(attempt: number): void;
  /** None does, and why. */
  notHedged(reason: string): void;
  /** No further attempt is made. */
  gaveUp(attempts: number, reason: string): void;
  /** The upstream's answer goes to the client. */
  answered(answer: UpstreamAnswer): void;
  /** The call ends with an error of the gateway. */
  failed(error: unknown): void;
  /** The client cancelled the call. */
  cancelled(): void;
  end(): void;
}

/** Makes the spans of calls. */
export interface Tracing {
  begin(exchange: Exchange): CallTrace;
}
