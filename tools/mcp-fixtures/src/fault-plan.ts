/** What a flaky server does with an attempt instead of answering it. */
export type Fault =
  /** The connection is reset; nothing was executed. */
  | "reset_before_execution"
  /** The call is executed, then the connection is reset. */
  | "reset_after_execution"
  /** 503 without a hint; nothing was executed. */
  | "unavailable"
  /** 503 with `Retry-After`; nothing was executed. */
  | "unavailable_retry_after"
  /** No answer until the client goes away; nothing was executed. */
  | "hang"
  /** The call is executed, then as `hang`. */
  | "hang_after_execution";

export const FAULTS: readonly Fault[] = [
  "reset_before_execution",
  "reset_after_execution",
  "unavailable",
  "unavailable_retry_after",
  "hang",
  "hang_after_execution",
];

/** Decides which attempts fail, and how. */
export interface FaultPlan {
  /** The fault of an attempt (1-based) of the call of that key, or none. Depends on nothing else. */
  faultOf(key: string, attempt: number): Fault | undefined;
}

/** FNV-1a (32 bit) with the finaliser of MurmurHash3: spreads neighbouring keys over the whole range. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

const ratio = (text: string): number => hash(text) / 2 ** 32;

/**
 * Fails the share `share` (0…1) of all attempts, evenly by the given faults. The same seed, key and attempt give
 * the same fault, whatever the order in which attempts arrive.
 */
export function createFaultPlan(seed: number, share: number, faults: readonly Fault[]): FaultPlan {
  return {
    faultOf(key, attempt) {
      if (ratio(`${seed}/${key}/${attempt}/whether`) >= share) return undefined;
      return faults[Math.floor(ratio(`${seed}/${key}/${attempt}/which`) * faults.length)];
    },
  };
}
