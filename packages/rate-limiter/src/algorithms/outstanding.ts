import type { Limit } from "./algorithm.ts";

/**
 * What is certainly not refilled yet of `cost` tokens that were taken at `takenAt`, in tokens × windowMs: as if refilling
 * had begun with it. Of a charge that others were ahead of it may be less than is due, never more: taken off what a key
 * owes, it leaves at least what the key would owe if the charge had not been. Nothing when the clock is behind `takenAt`.
 */
export function outstanding(limit: Limit, now: number, cost: number, takenAt: number): number {
  if (takenAt > now) return 0;
  return Math.max(0, cost * limit.windowMs - (now - takenAt) * limit.limit);
}
