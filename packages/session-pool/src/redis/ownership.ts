import type { Clock } from "../clock.ts";
import type { EnvelopeRefusal, EnvelopeRequest, OpenedEnvelope } from "./envelope.ts";
import type { OwnershipRedis, OwnershipSubscriber } from "./ownership-redis.ts";
import type {
  EvictionNotice,
  ReclaimResult,
  SessionLocation,
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

/** Ownership of downstream sessions across replicas. Session ids must be secrets of at least 128 random bits. */
export interface RedisOwnership {
  readonly instanceId: string;
  /** Listens for notices and begins to beat. Rejects when Redis is out of reach; both are retried in the background. */
  start(): Promise<void>;
  /** Becomes the owner of a new session. Throws `validation_failed` when it has one, `pool_capacity` past `maxOwned`. */
  claim(sessionId: string, principal: string): Promise<{ readonly epoch: number }>;
  /** Keeps, sealed, what another replica would need to go on with an owned session. */
  save(sessionId: string, upstream: readonly UpstreamSessionId[]): Promise<void>;
  /** Where a session is; `fresh` asks Redis even when the place is remembered (after a 421). */
  locate(
    sessionId: string,
    principal: string,
    options?: { readonly fresh?: boolean },
  ): Promise<SessionLocation>;
  /** Takes over a session whose owner is dead or has released it. */
  reclaim(sessionId: string, principal: string): Promise<ReclaimResult>;
  /** Ends a session, whoever owns it; its owner is told. */
  end(sessionId: string, principal: string): Promise<"ended" | "foreign" | "unknown">;
  /** Tells every replica that a server's URL, credentials or TLS changed. Not for a mere rename. */
  serverChanged(serverId: string): Promise<void>;
  /** Signs a request for the owner of a session. */
  sign(
    to: Extract<SessionLocation, { kind: "remote" }>,
    sessionId: string,
    request: EnvelopeRequest & { readonly principal: string; readonly remainingMs?: number },
  ): string;
  /**
   * Opens a forwarded request. `misdirected` means that this replica does not own the session (421); the caller
   * must execute an accepted one here and never forward it again.
   */
  open(
    envelope: string | undefined,
    sessionId: string,
    request: EnvelopeRequest,
  ): OpenedEnvelope | { readonly kind: "misdirected" };
  stats(): OwnershipStats;
  /** Gives all sessions back, so that any replica may take them over at once, and stops. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
