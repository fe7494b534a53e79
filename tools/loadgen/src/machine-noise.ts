import { readFileSync } from "node:fs";

/** Time that all cores of the machine have been busy since it was started, in µs; absent where not readable. */
export function machineBusyMicros(): number | undefined {
  try {
    const [, user, nice, system, , , irq, softirq, steal] = (
      readFileSync("/proc/stat", "utf8").split("\n")[0] ?? ""
    )
      .split(/\s+/)
      .map(Number);
    const ticks = [user, nice, system, irq, softirq, steal].reduce<number>(
      (sum, value) => sum + (value ?? 0),
      0,
    );
    return ticks * 10_000;
  } catch {
    return undefined;
  }
}

/** Watches how much of the machine is taken by processes that are no part of a run. */
export interface NoiseWatch {
  /** Share of one core that others took since the watch began, in percent; `ownMicros` is what the run itself took. */
  othersPercent(ownMicros: number): number | undefined;
}

export function watchNoise(): NoiseWatch {
  const startedAt = performance.now();
  const before = machineBusyMicros();
  return {
    othersPercent(ownMicros) {
      const after = machineBusyMicros();
      if (before === undefined || after === undefined) return undefined;
      const elapsedMicros = (performance.now() - startedAt) * 1000;
      return Math.max(0, ((after - before - ownMicros) / elapsedMicros) * 100);
    },
  };
}
