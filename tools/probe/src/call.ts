/**
 * How a call was decided, as its answer shows: refused by the limiter, allowed and charged (it carries the limiter's
 * headers), allowed without being charged, refused because Redis did not answer, or something else.
 */
export type Ruling = "limited" | "charged" | "free" | "degraded" | "failed";

/** One call; times in Unix milliseconds with fractions. */
export interface Call {
  readonly worker: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly ruling: Ruling;
}

/** Reads a ruling off an answer. */
export function rulingOf(status: number, limitHeader: unknown, body: string): Ruling {
  if (status === 429) return "limited";
  if (status === 503 && body.includes('"backend_unavailable"')) return "degraded";
  if (status !== 200 || !body.includes('"result"')) return "failed";
  return limitHeader === undefined ? "free" : "charged";
}

/** Now, in Unix milliseconds with fractions. */
export function wallNow(): number {
  return performance.timeOrigin + performance.now();
}
