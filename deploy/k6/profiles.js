// The loads of `npm run loadtest`, for k6: the same rates, times and bounds (a test of tools/loadgen compares them).
// Nothing of k6 is imported here.

const steps = (rates, seconds) => rates.map((rps) => ({ rps, seconds }));
const ramp = [100, 500, 1_000, 2_000, 3_000, 5_000, 100];
const echo = { tool: "echo", args: { text: "a small call" }, users: 10, sessions: 50 };

/** By name: who calls what, the load at each scale, and what must hold (milliseconds; `errors` is a share). */
export const profiles = {
  "perf-01": {
    ...echo,
    load: { ci: steps([100], 60), full: steps([100], 600) },
    limits: { p95: 200, errors: 0 },
  },
  "perf-02": {
    ...echo,
    load: { ci: steps([1_000], 120), full: steps([1_000], 3_600) },
    limits: { p95: 200, p99: 500, errors: 0.001 },
  },
  sla: {
    ...echo,
    load: { ci: steps([500], 120), full: steps([500], 3_600) },
    limits: { p50: 50, p95: 150, p99: 300 },
  },
  "perf-03": {
    ...echo,
    load: { ci: steps(ramp, 10), full: steps(ramp, 255) },
    limits: {},
  },
  "perf-07": {
    tool: "wait",
    args: { ms: 50 },
    users: 100,
    sessions: 100,
    load: { ci: { concurrency: 100, seconds: 60 }, full: { concurrency: 100, seconds: 600 } },
    limits: { p95: 500, errors: 0 },
  },
};

/** The `options` of k6 for a profile at a scale. A call that could not be started in time counts as an error. */
export function optionsOf({ load, limits, users }, scale) {
  const { errors, ...percentiles } = limits;
  const latency = Object.entries(percentiles).map(([name, ms]) => `p(${name.slice(1)})<${ms}`);
  const thresholds = {
    ...(latency.length > 0 && { "http_req_duration{kind:call}": latency }),
    ...(errors !== undefined && {
      "checks{kind:call}": [errors === 0 ? "rate==1" : `rate>${1 - errors}`],
      dropped_iterations: [errors === 0 ? "count==0" : `rate<${errors * highestRate(load[scale])}`],
    }),
  };
  return {
    scenarios: { calls: scenarioOf(load[scale], users) },
    thresholds,
    summaryTrendStats: ["med", "p(95)", "p(99)", "max"],
  };
}

const highestRate = (load) => (Array.isArray(load) ? Math.max(...load.map(({ rps }) => rps)) : 1);

function scenarioOf(load, users) {
  if (!Array.isArray(load)) {
    return { executor: "constant-vus", vus: load.concurrency, duration: `${load.seconds}s` };
  }
  const jumps = load.flatMap(({ rps, seconds }) => [
    { target: rps, duration: "0s" },
    { target: rps, duration: `${seconds}s` },
  ]);
  return {
    executor: "ramping-arrival-rate",
    startRate: load[0].rps,
    timeUnit: "1s",
    stages: jumps,
    preAllocatedVUs: Math.max(users, 200),
    maxVUs: 4_000,
  };
}
