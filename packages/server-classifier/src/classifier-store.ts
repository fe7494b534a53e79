import type { Classification } from "./classification.ts";
import type { Pace, PollEnding, PollMemory, PollState } from "./poll-state.ts";
import type { Snapshot } from "./snapshot.ts";
import type { ServerUsage } from "./usage-source.ts";

/** Answer to a try for the leader's lease. */
export interface LeaseReply {
  readonly leader: boolean;
  /** Term of the present leader. */
  readonly epoch: number;
  /** Until the present lease ends. */
  readonly expiresInMs: number;
}

/** What one replica has to say of its use of one server since its last accepted report. */
export interface UsageDelta {
  readonly serverId: string;
  readonly uses: number;
  /** Time since the last use; clocks of replicas differ, ages hardly do. Undefined: not used since. */
  readonly ageMs: number | undefined;
  readonly active: number;
  readonly sessions: number;
}

/** A replica's report. */
export interface UsageReport {
  readonly replicaId: string;
  /** Grows by one per report, so that a repeated one counts once. */
  readonly seq: number;
  readonly entries: readonly UsageDelta[];
  /** The replica's sessions count for so long without another report. */
  readonly ttlMs: number;
}

/** A result to be published. */
export interface Publication {
  readonly epoch: number;
  /** The next version is larger than this, even if the store lost its own. */
  readonly versionSeen: number;
  readonly classification: Classification;
  readonly ttlMs: number;
}

/** A wish to poll. */
export interface ClaimRequest {
  /** Hashed scope: server, gateway and poll type. */
  readonly scope: string;
  readonly token: string;
  readonly pace: Pace;
  readonly claimMs: number;
  /** The caller's own memory, for a store that lost its own or could not be told. */
  readonly known: PollMemory;
}

/** Whether the caller may poll, and the state afterwards. */
export interface ClaimReply {
  readonly granted: boolean;
  readonly state: PollState;
}

/** How a claim ended. */
export interface PollRecord {
  readonly scope: string;
  readonly ending: PollEnding;
}

/** Part of a reply: the store's clock, epoch milliseconds. */
export interface Stamped {
  readonly now: number;
}

/** The poll schedule's share of a store. Each call is one round trip. */
export interface PollStore {
  /** Grants at most `limit` of the requests, in their order; the states of all come back. */
  claim(
    requests: readonly ClaimRequest[],
    limit?: number,
  ): Promise<Stamped & { readonly replies: readonly ClaimReply[] }>;
  /** Books endings and renewals, and answers with the states afterwards, in the same order. */
  finish(records: readonly PollRecord[]): Promise<Stamped & { readonly states: readonly PollState[] }>;
}

/** What happens in the store that others want to know at once. */
export type StoreEvent = "published" | "released";

/** State shared by replicas. Each call is one round trip and atomic; time is the store's. */
export interface ClassifierStore extends PollStore {
  /** Takes or renews the lease. A new leader's epoch is larger than every one before and than `epochSeen`. */
  acquire(instanceId: string, leaseMs: number, epochSeen: number): Promise<Stamped & LeaseReply>;
  /** Gives the lease back if this instance holds it, and announces it. */
  release(instanceId: string): Promise<boolean>;
  report(report: UsageReport): Promise<Stamped>;
  /** Sum of all reports, and the present snapshot. */
  collect(): Promise<
    Stamped & { readonly usage: readonly ServerUsage[]; readonly snapshot: Snapshot | undefined }
  >;
  /** Publishes, forgets the use of servers that are not in it, and announces it. Refused below the present epoch. */
  publish(
    publication: Publication,
  ): Promise<Stamped & { readonly accepted: boolean; readonly snapshot: Snapshot | undefined }>;
  read(): Promise<Stamped & { readonly snapshot: Snapshot | undefined }>;
  /** Hears of events, best effort; returns a function that ends it. */
  subscribe(listener: (event: StoreEvent) => void): () => void;
  /** Frees what the store itself opened. Idempotent. */
  close(): Promise<void>;
}
