import { errorsAtMost, fairUsers, latencyBelow, rateReached, steadyLatency, steadyMemory } from "./checks.ts";
import { rampChecks } from "./knee.ts";
import type { Load, Plan, Profile, Scale } from "./plan.ts";
import { constant, type Stage } from "./schedule.ts";

const MINUTE = 60;
const HOUR = 3_600;

const open = (...stages: readonly Stage[]): Load => ({ kind: "open", stages });

/** Ends of `count` equal stretches. */
const evenly = (seconds: number, count: number): readonly number[] =>
  Array.from({ length: count }, (_, index) => (seconds * (index + 1)) / count);

const BASELINE_SECONDS: Readonly<Record<Scale, number>> = { smoke: 1, ci: 10, full: 60 };
const WARM_UP_CALLS: Readonly<Record<Scale, number>> = { smoke: 500, ci: 10_000, full: 10_000 };

const echo = { tool: "echo", args: { text: "a small call" } } as const;
const clients = { users: 10, sessions: 50, connections: 100 } as const;

const steady = (rps: number, scale: Scale, seconds: number): Omit<Plan, "checks"> => ({
  ...echo,
  ...clients,
  load: open(constant(rps, seconds)),
  bounds: evenly(seconds, 10),
  warmUpCalls: WARM_UP_CALLS[scale],
  baseline: open(constant(rps, BASELINE_SECONDS[scale])),
});

const perf01: Profile = {
  name: "perf-01",
  title: "PERF-01: 100 calls per second",
  plan: (scale) => ({
    ...steady(100, scale, { smoke: 3, ci: MINUTE, full: 10 * MINUTE }[scale]),
    checks: (result) => [
      latencyBelow(result, "p95", 200),
      errorsAtMost(result, 0),
      rateReached(result, 99.9),
    ],
  }),
};

const perf02: Profile = {
  name: "perf-02",
  title: "PERF-02: 1 000 calls per second",
  plan: (scale) => ({
    ...steady(1_000, scale, { smoke: 3, ci: 2 * MINUTE, full: HOUR }[scale]),
    checks: (result) => [
      latencyBelow(result, "p95", 200),
      latencyBelow(result, "p99", 500),
      errorsAtMost(result, 0.001),
      steadyLatency(result),
      steadyMemory(result),
    ],
  }),
};

const sla: Profile = {
  name: "sla",
  title: "SLA: 500 calls per second",
  plan: (scale) => ({
    ...steady(500, scale, { smoke: 3, ci: 2 * MINUTE, full: HOUR }[scale]),
    checks: (result) => [
      latencyBelow(result, "p50", 50),
      latencyBelow(result, "p95", 150),
      latencyBelow(result, "p99", 300),
    ],
  }),
};

const RAMP: Readonly<Record<Scale, readonly number[]>> = {
  smoke: [50, 100, 50],
  ci: [100, 500, 1_000, 2_000, 3_000, 5_000, 100],
  full: [100, 500, 1_000, 2_000, 3_000, 5_000, 100],
};

const perf03: Profile = {
  name: "perf-03",
  title: "PERF-03: from 100 to 5 000 calls per second, and back",
  plan: (scale) => {
    const stepSeconds = { smoke: 1, ci: 10, full: 255 }[scale];
    const rates = RAMP[scale];
    return {
      ...echo,
      ...clients,
      connections: 200,
      load: open(...rates.map((rps) => constant(rps, stepSeconds))),
      bounds: evenly(stepSeconds * rates.length, rates.length),
      warmUpCalls: WARM_UP_CALLS[scale],
      baseline: open(constant(rates[1] ?? 100, BASELINE_SECONDS[scale])),
      checks: rampChecks,
    };
  },
};

const perf07: Profile = {
  name: "perf-07",
  title: "PERF-07: 100 concurrent calls of 100 users, upstream 50 ms",
  plan: (scale) => {
    const seconds = { smoke: 2, ci: MINUTE, full: 10 * MINUTE }[scale];
    return {
      tool: "wait",
      args: { ms: 50 },
      users: 100,
      sessions: 100,
      connections: 100,
      load: { kind: "closed", concurrency: 100, seconds },
      bounds: evenly(seconds, 10),
      warmUpCalls: WARM_UP_CALLS[scale],
      baseline: { kind: "closed", concurrency: 100, seconds: BASELINE_SECONDS[scale] },
      checks: (result) => [latencyBelow(result, "p95", 500), errorsAtMost(result, 0), fairUsers(result, 2)],
    };
  },
};

/** The profiles of the performance plan that can be run by name. */
export const PROFILES: readonly Profile[] = [perf01, perf02, sla, perf03, perf07];
