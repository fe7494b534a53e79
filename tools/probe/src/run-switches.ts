import type { ConvergenceReport, Mode } from "@gatewright/plugin-framework";
import { eventually } from "@gatewright/testkit";
import { wallNow } from "./call.ts";
import type { Fleet } from "./fleet.ts";
import type { ProbeOptions } from "./probe-options.ts";
import type { Switcher } from "./switcher.ts";

/** One switch, from the request to the next one. Times in Unix milliseconds. */
export interface Switch {
  readonly from: Mode;
  readonly to: Mode;
  readonly sentAt: number;
  /** When the first report says that the record was stored everywhere; undefined when it was not. */
  readonly committedAt: number | undefined;
  /** When a report with `converged: true` was there; undefined when none came in time. */
  readonly convergedAt: number | undefined;
  /** Requests until one converged. */
  readonly attempts: number;
  /** The report of the request that converged, else the last one. */
  readonly report: ConvergenceReport;
  /** What was done to the fleet around this switch. */
  readonly fault: "none" | "process frozen" | "Redis restarted" | "process frozen, Redis restarted";
  /** When the next switch was sent, or the traffic ended. */
  readonly until: number;
}

/** Both ways, and through permissive from either side; begins and ends in `enforce`. */
const CYCLE: readonly Mode[] = ["disabled", "enforce", "permissive", "disabled", "permissive", "enforce"];
/** Longer than a lease, shorter than the heartbeat's expiry. */
const FROZEN_MS = 3_000;

/** What {@link runSwitches} works with. */
export interface RunDeps {
  readonly fleet: Fleet;
  readonly switcher: Switcher;
  /** How many calls have been made. */
  readonly callCount: () => number;
  readonly onSwitch: (done: number, change: Switch) => void;
}

/** Whole cycles of switches until enough calls are made. */
export async function runSwitches(options: ProbeOptions, deps: RunDeps): Promise<readonly Switch[]> {
  const { fleet, switcher } = deps;
  const done: Switch[] = [];
  let from: Mode = "enforce";
  for (let cycle = 0; cycle === 0 || deps.callCount() < options.calls; cycle++) {
    for (const [index, to] of CYCLE.entries()) {
      const freeze = options.pauseReplica && index === cycle % 2;
      const restart = options.restartRedis && index === cycle % 2;
      const frozen = freeze ? freezeFor(fleet, FROZEN_MS) : undefined;
      const made = await switchUntilConverged(switcher, to, options.maxConvergenceMs);
      await frozen;
      const frozenOnly = freeze ? "process frozen" : "none";
      const fault = !restart ? frozenOnly : freeze ? "process frozen, Redis restarted" : "Redis restarted";
      await pause(options.holdMs);
      if (restart) {
        await restartRedis(fleet);
        await pause(options.holdMs);
      }
      const change: Switch = { ...made, from, to, fault, until: wallNow() };
      done.push(change);
      deps.onSwitch(done.length, change);
      from = to;
      if (change.convergedAt === undefined) return done;
    }
  }
  return done;
}

async function switchUntilConverged(switcher: Switcher, to: Mode, maxMs: number) {
  const sentAt = wallNow();
  let first: ConvergenceReport | undefined;
  for (let attempts = 1; ; attempts++) {
    const leftMs = sentAt + maxMs - wallNow();
    const report = await switcher.setMode(to, Math.max(1, Math.min(2_000, leftMs)));
    first ??= report;
    const { committedAt } = first;
    if (report.converged) return { sentAt, committedAt, convergedAt: wallNow(), attempts, report };
    if (wallNow() - sentAt >= maxMs) return { sentAt, committedAt, convergedAt: undefined, attempts, report };
    await pause(50);
  }
}

async function freezeFor({ gateways }: Fleet, ms: number): Promise<void> {
  const [victim] = gateways;
  victim?.pause();
  await pause(ms);
  victim?.resume();
}

async function restartRedis({ redis, gateways }: Fleet): Promise<void> {
  await redis.restart();
  for (const { url } of gateways) {
    await eventually(
      async () => ((await (await fetch(`${url}/ready`)).json()) as { status: string }).status === "ok",
      {
        timeoutMs: 30_000,
        intervalMs: 100,
      },
    );
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
