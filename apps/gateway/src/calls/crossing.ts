import type { CallOutcome } from "@gatewright/mcp-bridge/bridge";
import type {
  CallOptions,
  UpstreamAnswer,
  UpstreamRequest,
  UpstreamSession,
} from "@gatewright/mcp-bridge/upstream";

/** How requests of one client get into sessions that speak the other family of revisions. */
export interface Crossing {
  /** What the client speaks. Sessions of the same family need no crossing. */
  readonly era: "legacy" | "modern";
  /**
   * Sends one request and translates its answer. The session is the call's until `onEnd`, which may be later than the
   * answer: a call that waits for its client keeps it.
   */
  send(session: UpstreamSession, request: UpstreamRequest, options: CrossingOptions): Promise<UpstreamAnswer>;
}

/** Options of one attempt, and what to do when the session is free again. */
export interface CrossingOptions extends CallOptions {
  readonly timeoutMs: number;
  readonly onEnd: (outcome: CallOutcome) => void;
}
