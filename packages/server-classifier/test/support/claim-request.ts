import type { ClaimRequest, PollMemory } from "../../src/index.ts";

/** A wish to poll by somebody who knows nothing, but for what is said. */
export function request(
  scope: string,
  token: string,
  more: Partial<PollMemory> & {
    readonly intervalMs?: number;
    readonly maxPauseMs?: number;
    readonly claimMs?: number;
  } = {},
): ClaimRequest {
  const { intervalMs = 60_000, maxPauseMs = 900_000, claimMs = 10_000, ...memory } = more;
  const known = { last: 0, failures: 0, forcedAt: 0, ttlMs: 0, ...memory };
  return { scope, token, pace: { intervalMs, maxPauseMs }, claimMs, known };
}
