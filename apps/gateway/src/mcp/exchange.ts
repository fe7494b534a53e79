import type { IncomingHttpHeaders } from "node:http";
import type { RequestMessage } from "@gatewright/mcp-bridge";
import type { Aggregator } from "@gatewright/mcp-bridge/bridge";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import type { CallTrace } from "../tracing/call-trace.ts";
import type { Reply } from "./reply.ts";

/** One posted request and everything that its answer depends on. */
export interface Exchange {
  readonly target: Target;
  readonly principal: Principal;
  /** `legacy` with a session, `modern` or `plain` without. */
  readonly era: "legacy" | "modern" | "plain";
  readonly session: DownstreamSession | undefined;
  /** How upstreams are shown, on an endpoint of several. */
  readonly aggregator?: Aggregator;
  readonly message: RequestMessage;
  /** The request's id as the client wrote it. */
  readonly idText: string;
  readonly reply: Reply;
  readonly headers: IncomingHttpHeaders;
  readonly clientIp: string;
  /** Names this request in logs and errors. */
  readonly requestId: string;
  /** Has the request answered by another replica, where one can be asked: it came by HTTP, and from a client. */
  readonly forwardTo?: (replica: string) => Promise<void>;
  /** Fires when the call is cancelled; of a legacy client a disconnect does not. */
  readonly signal: AbortSignal;
  /** The call's span, where traces are taken. */
  readonly trace?: CallTrace;
}
