import type { IncomingMessage, ServerResponse } from "node:http";
import type { Admission } from "../auth/admission.ts";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";
import type { OpenChannels } from "../channels/open-channels.ts";
import type { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import type { HeldMessages } from "../http/held-messages.ts";
import type { ForwardedRequest, Replicas } from "../replicas/replicas.ts";
import type { AggregateDeps } from "./aggregate-endpoint.ts";

/** What the endpoint works with. */
export interface McpEndpointDeps extends AggregateDeps {
  readonly sessions: DownstreamSessions;
  readonly replicas: Replicas;
  readonly channels: OpenChannels;
  readonly held: HeldMessages;
  readonly admission: Admission;
  readonly guard: (request: IncomingMessage) => void;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly limits: {
    readonly bodyBytes: number;
    readonly jsonDepth: number;
    readonly streamBufferBytes: number;
    readonly streamAfterMs: number;
    readonly streamKeepAliveMs: number;
  };
  readonly challenge: (request: IncomingMessage) => string;
  /** Told of failures that are the gateway's own fault. */
  readonly onFailure: (error: unknown, requestId: string) => void;
}

/** One request to an MCP route. */
export interface McpRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  /** Finds the target, for a principal that may use it. */
  readonly target: (principal: Principal) => Target;
  /** `plain`: one JSON-RPC request, one JSON answer, no sessions. */
  readonly transport: "streamable" | "plain";
  /** What another replica vouches for, when it forwarded the request. */
  readonly forwarded?: ForwardedRequest;
}
