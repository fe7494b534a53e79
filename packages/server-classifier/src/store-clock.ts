import type { Clock } from "./clock.ts";

/** The store's time, carried on by the local monotonic clock between replies. */
export interface StoreClock {
  now(): number;
  /** Sets the time from a reply. */
  note(storeNow: number): void;
}

/** Starts from the local wall clock, until the first reply. */
export function createStoreClock(clock: Clock): StoreClock {
  let offset = clock.wall() - clock.now();
  return {
    now: () => clock.now() + offset,
    note(storeNow) {
      offset = storeNow - clock.now();
    },
  };
}
