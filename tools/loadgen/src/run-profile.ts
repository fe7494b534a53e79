import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { htmlReport } from "./html-report.ts";
import type { Front } from "./mcp-caller.ts";
import { type Load, type Profile, type Scale, secondsOf } from "./plan.ts";
import type { ProgressBar } from "./progress-bar.ts";
import { describeMachine, type ProfileReport, type Verdict } from "./report.ts";
import { type RunResult, runLoad } from "./run-plan.ts";
import type { LoadTarget, Site } from "./site.ts";

/** One profile on one site. */
export interface RunProfileOptions {
  readonly profile: Profile;
  readonly scale: Scale;
  readonly front: Front;
  readonly site: Site;
  /** Also load the upstream directly and the bare proxy, for comparison. */
  readonly baseline: boolean;
  readonly progress: ProgressBar;
}

/** Runs a profile: the baselines first, then the gateway. */
export async function runProfile(options: RunProfileOptions): Promise<ProfileReport> {
  const { profile, scale, front, site, progress } = options;
  const plan = profile.plan(scale);
  const startedAt = new Date().toISOString();

  const on = (target: LoadTarget, load: Load, bounds: readonly number[]): Promise<RunResult> =>
    runLoad({
      name: target.name,
      target: target.mcp(plan),
      load,
      bounds,
      pid: target.pid,
      warmUpCalls: plan.warmUpCalls,
      onProgress: (ratio) => progress.update(`${profile.name} ${target.name}`, ratio),
    });

  const runs: RunResult[] = [];
  if (options.baseline) {
    for (const target of [site.direct, site.bareProxy]) {
      runs.push(await on(target, plan.baseline, [secondsOf(plan.baseline)]));
    }
  }
  const measured = await on(site.gateway, plan.load, plan.bounds);
  runs.push(measured);
  progress.clear();

  const checks = plan.checks(measured);
  const passed: Verdict = checks.every(({ ok }) => ok) ? "passed" : "failed";
  return {
    profile: profile.name,
    title: profile.title,
    scale,
    front,
    startedAt,
    machine: describeMachine(),
    pinning: site.pinning,
    verdict: measured.isVoid ? "void" : passed,
    checks,
    runs,
  };
}

/** Writes `NAME-SCALE.json` and `.html` into a folder; returns their paths. */
export function writeReport(report: ProfileReport, folder: string): readonly string[] {
  mkdirSync(folder, { recursive: true });
  const base = join(folder, `${report.profile}-${report.scale}`);
  writeFileSync(`${base}.json`, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(`${base}.html`, htmlReport(report));
  return [`${base}.json`, `${base}.html`];
}
