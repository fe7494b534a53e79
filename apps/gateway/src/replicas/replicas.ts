import type { IncomingMessage, ServerResponse } from "node:http";
import type { OwnershipStats } from "@gatewright/session-pool/redis";
import type { Principal } from "../auth/principal.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";

/** A request as the replica that received it from the client (the edge) knows it, authenticated. */
export interface EdgeRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** As it was read; empty for GET and DELETE. */
  readonly body: Buffer;
  readonly principal: Principal;
  readonly clientIp: string;
  readonly requestId: string;
  /** Id of a JSON-RPC request, as its client wrote it; undefined for what has no answer. */
  readonly idText: string | undefined;
}

/** A request that another replica forwarded to this one: it is executed here, and never forwarded again. */
export interface ForwardedRequest {
  readonly principal: Principal;
  readonly clientIp: string;
  readonly requestId: string;
  readonly body: Buffer;
}

/** Where the sessions of legacy clients live, and how to reach the replica that holds one. */
export interface Replicas {
  /** Names this process among the replicas; another one after every start. */
  readonly selfId: string;
  /** Begins, once it is known under which URL other replicas reach this one. */
  start(url: string): Promise<void>;
  /** Leaves the sessions without calls in flight to the other replicas, which take them over at once. */
  handOver(): void;
  /** Makes this replica the owner of a new session. Rejects with `overloaded` when it owns too many. */
  claim(session: DownstreamSession): Promise<void>;
  /** Whether a session is served here, as far as that is certain without asking anybody. */
  isHere(sessionId: string): boolean;
  /**
   * Finds out where a session lives. `here`: serve the request; `answered`: its owner has.
   *
   * @throws {GatewayError} `not_found`, `forbidden` (another principal's), `session_owner_unreachable`,
   *   `backend_unavailable`, `outcome_unknown`
   */
  route(sessionId: string, edge: EdgeRequest): Promise<"here" | "answered">;
  /**
   * Has a request answered by a certain replica, which need not hold a session for it.
   *
   * @throws {GatewayError} `session_owner_unreachable` when it is certain that it was not executed, else `outcome_unknown`
   */
  forward(ownerId: string, edge: EdgeRequest): Promise<void>;
  /**
   * Opens a request that came on the internal route and makes `request` the one that the client sent; undefined when it
   * was refused, and answered.
   */
  receive(request: IncomingMessage, response: ServerResponse): Promise<ForwardedRequest | undefined>;
  /** Tells all replicas that a session has ended. */
  ended(session: DownstreamSession): void;
  /** Tells all replicas that an upstream is reached in another way now, or is gone. */
  upstreamChanged(upstreamId: string): void;
  /** Counters of ownership; undefined where there are no other replicas. */
  stats(): OwnershipStats | undefined;
  /** Gives all sessions back, so that other replicas take them over at once, and stops. */
  close(): Promise<void>;
}
