/** Tells the time in whole milliseconds since the Unix epoch. Injected so that tests own the time. */
export interface Clock {
  now(): number;
}

/** The wall clock of this process. */
export const systemClock: Clock = { now: () => Date.now() };
