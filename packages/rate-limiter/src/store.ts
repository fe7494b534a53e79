import type { Decision, Receipt } from "./decision.ts";
import type { Mode } from "./mode.ts";
import type { Charge } from "./rule.ts";

/** One check, as a store sees it. */
export interface CheckRequest {
  readonly tenant: string | undefined;
  readonly charges: readonly Charge[];
  readonly cost: number;
  /** What each charge costs, when not all cost the same; then `cost` is what the call itself costs. */
  readonly costs?: readonly number[];
  /** Wipe numbers (all, tenant) that this process knows of; a lease granted under lower ones is dropped. */
  readonly wipeSeq?: readonly [number, number] | undefined;
  /** The mode to decide under, unless the store holds a control record that says otherwise. */
  readonly mode: Mode;
  /** The mode last known to be in force, for a decision without the store. */
  readonly knownMode: Mode;
  /** When a decision of this id was admitted in the last 60 s, the check is allowed and charges nothing. */
  readonly dedupeId: string | undefined;
  /** Ask only: nothing is charged or stored. */
  readonly peek: boolean;
}

/** What a wipe empties. */
export type WipeScope =
  | { readonly scope: "all" }
  | { readonly scope: "tenant"; readonly tenant: string }
  | { readonly scope: "key"; readonly tenant: string | undefined; readonly charges: readonly Charge[] };

/** Counts for operators. */
export interface StoreStats {
  readonly kind: "memory" | "redis";
  readonly [name: string]: number | string;
}

/**
 * Where counters live. A check is atomic over all its charges: all are taken or none. An asynchronous store is
 * `remote`: the limiter puts a deadline, a breaker and a failure policy around it.
 */
export interface LimiterStore {
  readonly remote: boolean;
  /** The plugin whose control records a check is decided under, for stores that read them. */
  readonly plugin?: string;
  check(request: CheckRequest): Decision | Promise<Decision>;
  refund(receipt: Receipt): void | Promise<void>;
  wipe(scope: WipeScope): void | Promise<void>;
  /** Removes what a wipe left behind, of one tenant or all; for stores that keep it. */
  sweep?(tenant?: string): Promise<number>;
  /**
   * Which part of the store the counters of a tenant are in, where parts can fail by themselves; each gets a breaker
   * of its own, so there must not be many.
   */
  partOf?(tenant: string | undefined): string | undefined;
  /** Resolves when the store, or that part of it, works again; for remote stores. */
  probe?(part?: string): Promise<void>;
  stats(): StoreStats;
  close(): void | Promise<void>;
}
