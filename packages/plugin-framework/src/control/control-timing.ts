/** Timing of the control plane; milliseconds. */
export interface ControlTiming {
  readonly leaseMs: number;
  readonly pollMinMs: number;
  readonly pollMaxMs: number;
  /** Bound of the read that a call with an expired lease waits for. */
  readonly renewMs: number;
  /** Bound of every other access to the store. */
  readonly storeMs: number;
}

/** Clauses I2 and I6: lease 1 s, poll every 250–500 ms, one read of at most 50 ms on expiry. */
export const DEFAULT_TIMING: ControlTiming = {
  leaseMs: 1_000,
  pollMinMs: 250,
  pollMaxMs: 500,
  renewMs: 50,
  storeMs: 1_000,
};
