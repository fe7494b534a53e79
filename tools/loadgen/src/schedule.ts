/** A stretch of a load: the rate goes in a straight line from one figure to the other. */
export interface Stage {
  /** Arrivals per second at its start. */
  readonly fromRps: number;
  /** Arrivals per second at its end; the same as `fromRps` for a constant rate. */
  readonly toRps: number;
  readonly seconds: number;
}

/** When each call of a run is due, fixed before the run begins (open loop). */
export interface Schedule {
  readonly stages: readonly Stage[];
  /** How many calls there are. */
  readonly total: number;
  readonly seconds: number;
  /** Milliseconds after the start at which call `index` (0-based) is due; grows with `index`. */
  offsetOf(index: number): number;
}

/** A constant rate. */
export const constant = (rps: number, seconds: number): Stage => ({ fromRps: rps, toRps: rps, seconds });

/** Arrivals in the first `t` seconds of a stage: the area under its line. */
const arrivals = ({ fromRps, toRps, seconds }: Stage, t: number): number =>
  fromRps * t + ((toRps - fromRps) * t * t) / (2 * seconds);

/** The time at which a stage's `count`-th arrival is due: the inverse of {@link arrivals}. */
const timeOf = ({ fromRps, toRps, seconds }: Stage, count: number): number => {
  const slope = (toRps - fromRps) / seconds;
  // The numerically stable form of the quadratic's root; it also holds for a slope of zero.
  return (2 * count) / (fromRps + Math.sqrt(fromRps * fromRps + 2 * slope * count));
};

export function createSchedule(stages: readonly Stage[]): Schedule {
  const starts: { stage: Stage; firstArrival: number; startSeconds: number }[] = [];
  let count = 0;
  let seconds = 0;
  for (const stage of stages) {
    starts.push({ stage, firstArrival: count, startSeconds: seconds });
    count += arrivals(stage, stage.seconds);
    seconds += stage.seconds;
  }
  const total = Math.round(count);
  return {
    stages,
    total,
    seconds,
    offsetOf(index) {
      let at = starts.length - 1;
      while (at > 0 && (starts[at]?.firstArrival ?? 0) > index) at -= 1;
      const start = starts[at];
      if (start === undefined) return 0;
      return (start.startSeconds + timeOf(start.stage, index - start.firstArrival)) * 1000;
    },
  };
}
