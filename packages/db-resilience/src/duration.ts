import { wrongOptions } from "./refusals.ts";

/** Node's timers take no more, and ring at once where they are told more: 24.8 days. */
export const longestMs = 2_147_483_647;

/**
 * A number of milliseconds that a caller has given; a longer one than timers take, Infinity too, counts as the longest.
 *
 * @throws DatabaseError `db_options_invalid` where it is no number, or less than 0.
 */
export function checkedMs(name: string, givenMs: number): number {
  if (typeof givenMs !== "number" || !(givenMs >= 0)) throw wrongOptions(`${name} has to be 0 ms or more`);
  return Math.min(givenMs, longestMs);
}
