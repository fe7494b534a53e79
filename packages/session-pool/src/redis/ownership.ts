import type { Clock } from "../clock.ts";
import type { EnvelopeRefusal, EnvelopeRequest, OpenedEnvelope } from "./envelope.ts";
import type { OwnershipRedis, OwnershipSubscriber } from "./ownership-redis.ts";
import type {
  EvictionNotice,
  OwnershipHold,
  ReclaimResult,
  SessionLocation,
  SessionState,
  UpstreamSessionId,
} from "./session-location.ts";

/** What ownership is given besides its options. */
export interface RedisOwnershipDeps {
  readonly redis: OwnershipRedis;
  /** Makes notices arrive at once; without it they arrive within `pollMs`. */
  readonly subscriber?: OwnershipSubscriber;
  /** Sessions to evict on this replica. */
  readonly onEvict: (notice: EvictionNotice) => void;
  /** Another replica owns this session now: end it here without telling the upstream. */
  readonly onOwnershipLost: (sessionId: string) => void;
  readonly clock?: Clock;
  /** Default: a random UUID. Must differ from process to process and from start to start. */
  readonly instanceId?: string;
}

/** Counters of an ownership; they only grow, except `owned`. */
export interface OwnershipStats {
  readonly owned: number;
  readonly beats: number;
  readonly beatFailures: number;
  readonly pollFailures: number;
  readonly ownershipsLost: number;
  readonly reclaims: Readonly<Record<ReclaimResult["kind"], number>>;
  readonly envelopesRefused: Readonly<Record<EnvelopeRefusal, number>>;
  readonly noticesRefused: number;
  readonly noticesReceived: number;
}

/** How to claim a session. */
export interface ClaimOptions {
  /** Kept, sealed, for the replica that takes the session over one day. */
  readonly state?: SessionState;
  /**
   * With Redis out of reach own the session all the same; its record is written by the first beat that gets through.
   * Safe, since nobody else knows a new session's id.
   */
  readonly ownWhenAway?: boolean;
}

/** The addressee of a forwarded request: the owner of a session, or an instance. */
export interface ForwardTarget {
  /** Its instance UUID. */
  readonly owner: string;
  /** Of the session; left out where the request is for the instance itself. */
  readonly epoch?: number;
}

/** Ownership of downstream sessions across replicas. Session ids must be secrets of at least 128 random bits. */
export interface RedisOwnership {
  readonly instanceId: string;
  /** Listens for notices and begins to beat. Rejects when Redis is out of reach; both are retried in the background. */
  start(): Promise<void>;
  /**
   * Becomes the owner of a new session. Throws `validation_failed` when it has one, `pool_capacity` past `maxOwned`,
   * `backend_unavailable` unless `ownWhenAway`.
   */
  claim(sessionId: string, principal: string, options?: ClaimOptions): Promise<{ readonly epoch: number }>;
  /** The hold of this replica on a session, without asking Redis; `undefined` when it has none. */
  hold(sessionId: string): OwnershipHold | undefined;
  /**
   * Keeps, sealed, the upstream sessions that another replica would need to go on with an owned session; `state` stands in
   * for what was kept before.
   */
  save(sessionId: string, upstream: readonly UpstreamSessionId[], state?: SessionState): Promise<void>;
  /**
   * Where a session is; `fresh` asks Redis even when the place is remembered (after a 421), and lets an owner make sure
   * that it still is (when it is not `certain`).
   */
  locate(
    sessionId: string,
    principal: string,
    options?: { readonly fresh?: boolean },
  ): Promise<SessionLocation>;
  /** Takes over a session whose owner is dead or has released it. */
  reclaim(sessionId: string, principal: string): Promise<ReclaimResult>;
  /** Gives one session back, so that any replica may take it over at once. */
  release(sessionId: string): Promise<void>;
  /**
   * Ends a session, whoever owns it; its owner is told. Rejects with `backend_unavailable`; one of this replica's own
   * is ended all the same, and the rest is told with the next beat that gets through.
   */
  end(sessionId: string, principal: string): Promise<"ended" | "foreign" | "unknown">;
  /** Tells every replica that a server's URL, credentials or TLS changed. Not for a mere rename. */
  serverChanged(serverId: string): Promise<void>;
  /** Where an instance can be reached; `undefined` when it has left or is dead. */
  whereIs(instanceId: string): Promise<string | undefined>;
  /** Signs a request for the owner of a session, or without a session for an instance. */
  sign(
    to: ForwardTarget,
    sessionId: string | undefined,
    request: EnvelopeRequest & { readonly payload: string; readonly remainingMs?: number },
  ): string;
  /** Why a forwarded request is a stranger's: to be asked before its body is read. `undefined` when only `open` can tell. */
  judge(envelope: string | undefined): "unsigned" | "tampered" | undefined;
  /**
   * Opens a forwarded request. `misdirected` means that this replica does not own the session (421); the caller
   * must execute an accepted one here and never forward it again.
   */
  open(
    envelope: string | undefined,
    sessionId: string | undefined,
    request: EnvelopeRequest,
  ): OpenedEnvelope | { readonly kind: "misdirected" };
  stats(): OwnershipStats;
  /** Gives all sessions back, so that any replica may take them over at once, and stops. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
