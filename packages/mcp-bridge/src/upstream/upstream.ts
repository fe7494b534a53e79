import type { JsonObject, NotificationMessage, RequestMessage } from "../message.ts";
import type { Era } from "../revisions.ts";
import type { UpstreamAnswer } from "./answer.ts";

/** Name and version of a peer, with whatever else it says about itself. */
export type Implementation = JsonObject & { readonly name: string; readonly version: string };

/** A message that the upstream sends on its own: a notification, or (legacy) a request that wants `respond`. */
export type UpstreamMessage = NotificationMessage | RequestMessage;

/** How a session ended. */
export interface CloseReason {
  /** `closed`: by us; `lost`: the upstream dropped the session; `exited`: its process ended; `failed`: it broke. */
  readonly kind: "closed" | "lost" | "exited" | "failed";
  readonly detail?: string;
}

/** A legacy HTTP session that another process opened, as far as it takes to go on with it. */
export interface ResumableSession {
  /** `Mcp-Session-Id`. */
  readonly sessionId: string;
  readonly protocolVersion: string;
  /** The result of `initialize`; only what the session says of itself depends on it. */
  readonly handshake: JsonObject;
}

/** What becomes of a session's state when its process lets go of it. */
export type Continuation =
  /** There is none: another session does as well. */
  | { readonly kind: "stateless" }
  /** The upstream keeps it: another process may go on with it. */
  | ({ readonly kind: "resumable" } & ResumableSession)
  /** It ends with the connection, or with the child process. */
  | { readonly kind: "bound" };

/** Options of {@link Upstream.open}. */
export interface OpenOptions {
  readonly signal?: AbortSignal | undefined;
  /** Who we say we are. */
  readonly clientInfo: Implementation;
  /** The capabilities of whoever the session is opened for, passed on exactly. */
  readonly capabilities: JsonObject;
  /** Revision to ask for in the handshake. Default: the newest of the era. */
  readonly protocolVersion?: string | undefined;
  /**
   * How long to wait for the stream of a legacy server's own messages before the session is handed out, so that what a
   * first call makes it ask is not lost. Only with `onMessage`. Default 0.
   */
  readonly streamWaitMs?: number | undefined;
  /** Messages that belong to no call: change notifications, legacy server requests. */
  readonly onMessage?: ((message: UpstreamMessage) => void) | undefined;
  /**
   * The stream of a legacy server's own messages over HTTP is back after a break, from no event id: what came meanwhile
   * was missed.
   */
  readonly onGap?: (() => void) | undefined;
  /**
   * Whether the session serves several callers. Where all messages share one channel (stdio, HTTP+SSE), only what names
   * its call reaches that caller then, and only changes reach `onMessage`: questions are refused, log messages go to
   * `onStderr`. Default false, but for a child that is shared.
   */
  readonly shared?: boolean | undefined;
  /**
   * Added to the environment of the child that is started for this session alone. Refused where children are shared;
   * without a meaning over HTTP.
   */
  readonly env?: { readonly [name: string]: string } | undefined;
  /**
   * Go on with this session, without a handshake. Whether the upstream still knows it shows at the first request. Where
   * sessions are bound to their connection, opening is refused as `session_lost`.
   */
  readonly resume?: ResumableSession | undefined;
}

/** One JSON-RPC request to send. */
export interface UpstreamRequest {
  readonly method: string;
  /** Raw JSON text of `params`, sent as it is but for progress token and envelope. */
  readonly params?: string | Buffer | undefined;
  /** Raw further members of the message: `"a":1,"b":2`. */
  readonly extras?: string | undefined;
  /** HTTP headers for this request, for example `mcp-param-*`. Names in lower case. Ignored by stdio. */
  readonly headers?: { readonly [name: string]: string } | undefined;
}

/** Options of one call. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Longest wait for the final answer. Default: the upstream's `requestTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  /** Messages that belong to this call (progress, logging, legacy server requests), in order, before the answer. */
  readonly onMessage?: ((message: UpstreamMessage) => void) | undefined;
}

/** Answer to a request that the upstream sent. Both values are raw JSON text. */
export type PeerResponse =
  | { readonly idText: string; readonly result: string }
  | { readonly idText: string; readonly error: string };

/** One connection, as a pool holds it. */
export interface UpstreamSession {
  readonly era: Era;
  readonly protocolVersion: string;
  readonly serverInfo: Implementation | undefined;
  readonly capabilities: JsonObject;
  readonly instructions: string | undefined;
  /** `Mcp-Session-Id` of a legacy HTTP session. */
  readonly sessionId: string | undefined;
  /** The raw result of `initialize` or `server/discover`, for handing on unchanged. */
  readonly handshake: JsonObject;
  /**
   * Sends a request and waits for its answer. JSON-RPC errors are answers.
   *
   * @throws {@link UpstreamError} when there is no answer
   */
  request(request: UpstreamRequest, options?: CallOptions): Promise<UpstreamAnswer>;
  /** Sends a notification. */
  notify(notification: UpstreamRequest, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Answers a request that the upstream sent. */
  respond(response: PeerResponse, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** What becomes of the session's state when this process lets go of it. */
  readonly continuation: Continuation;
  /**
   * Ends the session: DELETE for a legacy HTTP session, unless `handOver` says that another process goes on with it.
   * Never rejects.
   */
  close(options?: { readonly handOver?: boolean }): Promise<void>;
  /** Settles when the session has ended, for whatever reason. */
  readonly closed: Promise<CloseReason>;
}

/** Counters of an upstream. */
export interface UpstreamStats {
  readonly era: Era | "unknown";
  readonly sessionsOpen: number;
  readonly sessionsOpened: number;
  readonly requestsActive: number;
  readonly requestsTotal: number;
  readonly requestsFailed: number;
}

/** One MCP server, reachable by one transport with one set of credentials: a factory of sessions. */
export interface Upstream {
  /**
   * Opens a session: finds out the era where it is not known, then does the handshake (legacy) or reads
   * `server/discover` (modern).
   *
   * @throws {@link UpstreamError}
   */
  open(options: OpenOptions): Promise<UpstreamSession>;
  /** Closes all sessions and connections. Never rejects. */
  close(): Promise<void>;
  stats(): UpstreamStats;
}
