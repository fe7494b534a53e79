import type { Clock } from "./clock.ts";
import type { ControlBus } from "./control/control-bus.ts";
import type { ControlPlane } from "./control/control-plane.ts";
import type { ConvergenceReport, SetModeOptions } from "./control/convergence-report.ts";
import { switchMode } from "./control/switch-mode.ts";
import { PluginConfigError, PluginError } from "./errors.ts";
import { explainMode, pluginStatus } from "./explain-mode.ts";
import type { PluginRuntime } from "./lifecycle/plugin-runtime.ts";
import type { Snapshot } from "./lifecycle/snapshot.ts";
import { isMode, MODES, type Mode } from "./mode.ts";
import type { ModeNews } from "./mode-news.ts";
import type { ModeState } from "./mode-state.ts";
import { nearest } from "./nearest.ts";
import { parseStrictly } from "./parse-strictly.ts";
import type { RequestContext } from "./plugin-context.ts";
import type { ModeExplanation, PluginStatus } from "./plugin-pipeline.ts";
import { setModeOptionsSchema } from "./set-mode-options.ts";

/** What an operator's orders are carried out with. */
export interface ModeAdminDeps {
  readonly clock: Clock;
  readonly bus: ControlBus;
  readonly plane: ControlPlane;
  readonly news: ModeNews;
  readonly snapshot: () => Snapshot;
  /** Most tenants with a mode of their own, per plugin. */
  readonly tenantOverrides: () => number;
}

/** The operator's side of a pipeline: switches modes, and says which are in force and why. */
export class ModeAdmin {
  readonly #deps: ModeAdminDeps;

  constructor(deps: ModeAdminDeps) {
    this.#deps = deps;
  }

  setMode(plugin: string, mode: Mode, options: SetModeOptions): Promise<ConvergenceReport> {
    if (isMode(mode)) return this.#switch(plugin, mode, options);
    const suggestion = nearest(String(mode), MODES);
    const issue = {
      path: "mode",
      message: `must be one of ${MODES.join(", ")}, not ${JSON.stringify(mode)}`,
      ...(suggestion === undefined ? {} : { suggestion }),
    };
    throw new PluginConfigError([issue]);
  }

  clearMode(plugin: string, options: SetModeOptions): Promise<ConvergenceReport> {
    return this.#switch(plugin, "inherit", options);
  }

  async #switch(name: string, mode: Mode | "inherit", options: SetModeOptions): Promise<ConvergenceReport> {
    const { plane, news, bus } = this.#deps;
    const runtime = this.#known(name);
    parseStrictly(setModeOptionsSchema, options, "options");
    const { modes, modeAuthority } = runtime;
    if (mode !== "inherit") this.#checkRoom(modes, options.tenant);
    const { guarantee } = bus;
    // A reload may come before its turn.
    const current = () => this.#deps.snapshot().plugin(name) ?? runtime;
    const { report, switchedOff } = await switchMode(plane, {
      state: modes,
      mode,
      inherited: () => news.inherited(current(), options.tenant),
      others: () => (options.tenant === undefined ? news.boundModes(current()) : new Map()),
      guarantee: guarantee === "fenced" && !modeAuthority && !bus.synchronous ? "leased" : guarantee,
      options,
    });
    if (report.wipe || (options.wipe ?? "auto") !== "auto") return report;
    // Whom a binding switches off now that the override is another one is not in the record's own wipe.
    await Promise.all(switchedOff.map((tenant) => news.wipe(runtime, tenant)));
    return switchedOff.length === 0 ? report : { ...report, wipe: true };
  }

  #checkRoom(modes: ModeState, tenant: string | undefined): void {
    const limit = this.#deps.tenantOverrides();
    if (tenant === undefined || modes.overriddenTenants < limit) return;
    if ((modes.tenantRecord(tenant)?.mode ?? "inherit") !== "inherit") return;
    const { plugin } = modes;
    throw new PluginError("conflict", `plugin ${plugin} has ${limit} tenant overrides already`, {
      details: { plugin, limit },
    });
  }

  enable(plugin: string): boolean {
    return this.#deps.news.switchedOn(this.#known(plugin).modes);
  }

  list(): readonly PluginStatus[] {
    return this.#deps.snapshot().plugins.map((plugin) => pluginStatus(plugin, this.#degraded(plugin.modes)));
  }

  explain(plugin: string, context: Partial<RequestContext>, tool: string | undefined): ModeExplanation {
    const runtime = this.#known(plugin);
    return explainMode(runtime, { requestId: "", ...context }, tool, this.#degraded(runtime.modes));
  }

  #degraded(state: ModeState): boolean {
    const { clock, plane } = this.#deps;
    return clock.now() > state.leaseUntil && !plane.reads(state);
  }

  #known(name: string): PluginRuntime {
    const snapshot = this.#deps.snapshot();
    const runtime = snapshot.plugin(name);
    if (runtime !== undefined) return runtime;
    const known = snapshot.plugins.map((plugin) => plugin.name);
    const suggestion = nearest(name, known);
    const hint = suggestion === undefined ? "" : `; did you mean "${suggestion}"?`;
    throw new PluginError("not_found", `no plugin is named "${name}"${hint}`, {
      details: { plugin: name, known },
    });
  }
}
