import { z } from "zod";
import type { AggregatedUpstream } from "./exposed-names.ts";
import type { ListCall, StoredItems } from "./list-copies.ts";

/** Options of `createAggregator`. */
export interface AggregatorOptions {
  readonly upstreams: readonly AggregatedUpstream[];
  /** Asks an upstream for one page of a list. */
  readonly call: ListCall;
  /** At least 32 bytes, the same on every replica: seals cursors. */
  readonly secret: Uint8Array;
  /** Secrets whose cursors are still accepted. Default none. */
  readonly previousSecrets?: readonly Uint8Array[];
  /** `plain` leaves names and URIs as they are; only for one upstream. Default `prefixed`. */
  readonly names?: "prefixed" | "plain";
  /** Between slug and name. Default `_`. */
  readonly separator?: string;
  /** Longest exposed name in characters. Default 64. */
  readonly maxNameLength?: number;
  /** Longest wait for one upstream's list. Default 10 000. */
  readonly listDeadlineMs?: number;
  /**
   * How long a list is used again whose upstream names no longer time; what is listed then is at most so old. Change
   * notices end it, see `outdate`. Default 0: every list asks.
   */
  readonly freshMs?: number;
  /**
   * How long nobody waits for an upstream that failed: its last good items are shown at once while it is asked again.
   * Default 5 000.
   */
  readonly failureHoldMs?: number;
  /** Items that were kept elsewhere, for an upstream that failed before it was ever listed here. Default none. */
  readonly stored?: StoredItems;
  /** Most items on one page of a merged list. Default 1 000. */
  readonly pageSize?: number;
  /** Most pages read from one upstream. Default 100. */
  readonly maxPages?: number;
  /** Most items read from one upstream. Default 10 000. */
  readonly maxItems?: number;
  /** Most lists kept as last good copies. Default 1 000. */
  readonly maxCopies?: number;
}

/** {@link AggregatorOptions} with their defaults. */
export const aggregatorSchema = z.strictObject({
  upstreams: z.array(z.strictObject({ id: z.string().min(1), slug: z.string().min(1).max(40) })),
  call: z.custom<ListCall>((value) => typeof value === "function"),
  secret: z.instanceof(Uint8Array),
  previousSecrets: z.array(z.instanceof(Uint8Array)).default([]),
  names: z.enum(["prefixed", "plain"]).default("prefixed"),
  separator: z.string().min(1).max(4).default("_"),
  maxNameLength: z.int().min(56).max(1_024).default(64),
  listDeadlineMs: z.int().min(1).default(10_000),
  freshMs: z.int().min(0).default(0),
  failureHoldMs: z.int().min(0).default(5_000),
  stored: z.custom<StoredItems>((value) => typeof value === "function").optional(),
  pageSize: z.int().min(1).default(1_000),
  maxPages: z.int().min(1).default(100),
  maxItems: z.int().min(1).default(10_000),
  maxCopies: z.int().min(1).default(1_000),
});
