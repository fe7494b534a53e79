import type { ClassificationMetadata, ServerHistory } from "./classification.ts";
import type { Tier } from "./known-server.ts";

/** A published classification. */
export interface Snapshot {
  /** Grows with every publication. */
  readonly version: number;
  /** Term of the leader that published it. */
  readonly epoch: number;
  readonly metadata: ClassificationMetadata;
  /** By server id. */
  readonly servers: ReadonlyMap<string, ServerHistory>;
}

/** The tier of a server in a snapshot, or undefined when there is no snapshot or the server is not in it. */
export function tierOf(snapshot: Snapshot | undefined, serverId: string): Tier | undefined {
  return snapshot?.servers.get(serverId)?.tier;
}

/** Whether `candidate` is at least as new as `current`. */
export function isNewer(candidate: Snapshot, current: Snapshot | undefined): boolean {
  if (current === undefined || candidate.epoch > current.epoch) return true;
  return candidate.epoch === current.epoch && candidate.version >= current.version;
}
