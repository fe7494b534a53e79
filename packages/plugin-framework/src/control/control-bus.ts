import type { ControlRecord } from "./control-record.ts";

/** What travels on the channel: a hint to look, never a state. */
export interface ControlFrame {
  readonly scope: string;
  readonly rev: number;
}

/**
 * What a switch can promise. `fenced`: no store decision after the commit follows an older mode; `leased`: none
 * later than one lease after it; `best-effort`: only this process is known to follow.
 */
export type Guarantee = "fenced" | "leased" | "best-effort";

/** Outcome of a compare-and-set. */
export interface WriteVerdict {
  readonly written: boolean;
  /** What is stored now: the new record when `written`. */
  readonly current: ControlRecord | undefined;
}

/** What a heartbeat learns of the list of members. */
export interface Beat {
  /** False: no member until now, because it is new, was away for too long, or the list was lost. */
  readonly known: boolean;
  /**
   * For how long the list has been kept, milliseconds: a younger one may lack replicas that live, as the store may have
   * lost the one before. Left out by a bus that cannot lose it.
   */
  readonly keptMs?: number;
}

/**
 * Where control records live and how replicas hear of each other. Scopes are texts as `scopeText` makes them.
 * Every method rejects when the store cannot be reached; the caller bounds the wait.
 */
export interface ControlBus {
  /** The best that a switch over this bus can promise to a plugin with `modeAuthority`. */
  readonly guarantee: Guarantee;
  /** A write has been seen by every subscriber before it resolves, so nobody needs a lease. */
  readonly synchronous: boolean;
  /** Reads records; an expired one is replaced by its successor first, by compare-and-set. */
  read(scopes: readonly string[]): Promise<readonly (ControlRecord | undefined)[]>;
  /** Every scope that has an override, and maybe some of which it has ended. */
  scopes(): Promise<readonly string[]>;
  /** Puts scopes back that have an override but are not among {@link scopes}; for stores that can lose the one alone. */
  list?(scopes: readonly string[]): Promise<void>;
  /** Takes tenants' scopes whose override has ended off {@link scopes}; one that has an override again stays. */
  unlist?(scopes: readonly string[]): Promise<void>;
  /**
   * Stores `record` if the stored `rev` is `expectedRev` (0: none), in all copies; with `ttlMs` its `expiresAt` is
   * set by the store's clock.
   */
  write(scope: string, record: ControlRecord, expectedRev: number, ttlMs?: number): Promise<WriteVerdict>;
  /**
   * Brings copies that lag behind the stored record up to it, and the stored record up to a copy that is ahead.
   * Resolves with how many there were.
   */
  repair?(scope: string): Promise<number>;
  publish(frame: ControlFrame): Promise<void>;
  /**
   * `onGap` is called after a pause in which frames may have been lost; `onLost` when the subscription has ended and
   * must be made anew. Resolves to the way to stop; one that rejects leaves nothing behind.
   */
  subscribe(
    onFrame: (frame: ControlFrame) => void,
    onGap: () => void,
    onLost?: (error: unknown) => void,
  ): Promise<() => void>;
  /** A replica follows a record now. */
  ack(replica: string, scope: string, record: ControlRecord): Promise<void>;
  /** Replicas that follow a record, or a newer one of its scope. */
  acks(scope: string, record: ControlRecord): Promise<readonly string[]>;
  /** Registers a replica, or says that it still lives; forgotten after 6 s without a beat. */
  beat(replica: string): Promise<Beat>;
  leave(replica: string): Promise<void>;
  members(): Promise<readonly string[]>;
  /** Lets go of what the bus itself opened. Idempotent. */
  close(): Promise<void>;
}

/** How often a replica says that it lives, and when it counts as gone; milliseconds. */
export const HEARTBEAT_MS = 2_000;
/** See {@link HEARTBEAT_MS}. */
export const MEMBER_EXPIRY_MS = 6_000;
