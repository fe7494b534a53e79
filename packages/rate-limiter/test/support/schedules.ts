import type { AlgorithmName, Limit } from "@gatewright/rate-limiter";
import fc from "fast-check";

/** One check of a schedule: so much later (true time), after the clock was set back so far, at this cost. */
export interface Event {
  readonly afterMs: number;
  readonly stepBackMs: number;
  /** Before it the admitted check so many back is refunded; 0 for none. */
  readonly refund: number;
  readonly cost: number;
}

export interface Schedule {
  readonly limit: Limit;
  readonly events: readonly Event[];
}

/** Random limits and traffic that crowds around the edges of windows; one event in ten sets the clock back. */
export function schedules(algorithm: AlgorithmName, mostEvents: number): fc.Arbitrary<Schedule> {
  const bursts = algorithm === "token_bucket" || algorithm === "gcra";
  const limits = fc
    .record({
      limit: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(1, 7, 1_000_000)),
      windowMs: fc.constantFrom(60_000, 61_000, 3_600_000),
      extra: fc.integer({ min: -5, max: 10 }),
    })
    .map(({ limit, windowMs, extra }) => ({
      limit,
      windowMs,
      burst: bursts ? Math.max(1, Math.min(1_000_000, limit + extra)) : limit,
    }));
  return limits.chain((limit) => {
    const spacing = Math.ceil(limit.windowMs / limit.limit);
    const afterMs = fc.oneof(
      fc.constantFrom(0, 1, spacing - 1, spacing, limit.windowMs - 1, limit.windowMs, 2 * limit.windowMs),
      fc.integer({ min: 0, max: Math.ceil(limit.windowMs / 3) }),
      fc.integer({ min: 0, max: spacing * 2 }),
    );
    const stepBackMs = fc.oneof(
      { weight: 9, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: limit.windowMs * 3 }) },
    );
    const cost = fc.oneof(
      { weight: 5, arbitrary: fc.constant(1) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: limit.limit + 1 }) },
    );
    const refund = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 4 }));
    const events = fc.array(fc.record({ afterMs, stepBackMs, refund, cost }), {
      minLength: 1,
      maxLength: mostEvents,
    });
    return fc.record({ limit: fc.constant(limit), events });
  });
}

/** Clock readings of a schedule: true time less all steps back so far. */
export function* clockOf(schedule: Schedule): Generator<{ event: Event; trueTime: number; now: number }> {
  let trueTime = 1_700_000_000_000;
  let behind = 0;
  for (const event of schedule.events) {
    trueTime += event.afterMs;
    behind += event.stepBackMs;
    yield { event, trueTime, now: trueTime - behind };
  }
}
