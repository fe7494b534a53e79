import type { Clock } from "./clock.ts";
import type { ControlBus } from "./control/control-bus.ts";
import type { AppliedRecord, ControlListener } from "./control/control-listener.ts";
import { ControlPlane } from "./control/control-plane.ts";
import type { ControlTiming } from "./control/control-timing.ts";
import type { ConvergenceReport, SetModeOptions } from "./control/convergence-report.ts";
import { Deadlines } from "./deadlines.ts";
import type { Slot } from "./dispatch/chain.ts";
import type { Engine } from "./dispatch/engine.ts";
import { RequestScope } from "./dispatch/request-scope.ts";
import { PluginError } from "./errors.ts";
import type { KnownHook } from "./hook-registry.ts";
import { LiveSnapshots } from "./lifecycle/live-snapshots.ts";
import { reloadChanges } from "./lifecycle/reload-changes.ts";
import type { Mode } from "./mode.ts";
import { ModeAdmin } from "./mode-admin.ts";
import { ModeNews } from "./mode-news.ts";
import { ModeState } from "./mode-state.ts";
import type { ControlAlert, PipelineObserver } from "./observer.ts";
import { parseStrictly } from "./parse-strictly.ts";
import type { Reads } from "./phase.ts";
import { type ParsedConfig, type PipelineConfig, pipelineConfigSchema } from "./pipeline-config.ts";
import type { RequestContext } from "./plugin-context.ts";
import type {
  ModeExplanation,
  PluginPipeline,
  PluginStatus,
  ReloadReport,
  SavedOverride,
} from "./plugin-pipeline.ts";

/** The injected parts, with defaults filled in. */
export interface LiveDeps {
  readonly clock: Clock;
  readonly bus: ControlBus;
  readonly replica: string;
  readonly observer: PipelineObserver | undefined;
  readonly random: () => number;
  readonly hooks: ReadonlyMap<string, KnownHook>;
  readonly overrides: readonly SavedOverride[];
  readonly timing: ControlTiming;
}

const READS: readonly Reads[] = ["none", "outcome", "body"];

/** The pipeline behind `createPluginPipeline`: puts snapshots, modes and the way of a call together. */
export class LivePipeline implements PluginPipeline, ControlListener {
  readonly #deps: LiveDeps;
  readonly #plane: ControlPlane;
  readonly #engine: Engine;
  readonly #news: ModeNews;
  readonly #admin: ModeAdmin;
  readonly #states = new Map<string, ModeState>();
  readonly #snapshots: LiveSnapshots;
  #started = false;
  #turn: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(config: ParsedConfig, deps: LiveDeps) {
    this.#deps = deps;
    const { bus, replica, clock, random, timing, observer, hooks } = deps;
    this.#plane = new ControlPlane({ bus, replica, clock, random, timing, listener: this });
    this.#news = new ModeNews(clock, observer, {
      runtimeOf: (name) => this.#snapshots?.current.plugin(name),
      handlesOf: (name) =>
        [...this.#snapshots.current.handles.values()].filter(({ host }) => host.name === name),
      started: () => this.#started,
      wipe: (scope, known, cause) => this.#plane.wipe(scope, known, cause),
    });
    this.#admin = new ModeAdmin({
      clock,
      bus,
      plane: this.#plane,
      news: this.#news,
      snapshot: () => this.#snapshots.current,
      tenantOverrides: () => this.#snapshots.limits.tenantOverrides,
    });
    this.#engine = {
      clock,
      deadlines: new Deadlines(clock),
      observer,
      gate: this.#plane,
      background: { running: 0, limit: config.limits.backgroundHandlers },
      switchOff: (state, reason) => this.#news.switchedOff(state, reason),
    };
    this.#snapshots = new LiveSnapshots(config, {
      clock,
      observer,
      hooks,
      stateOf: (name) => this.#stateFor(name),
    });
    for (const { scope, record } of deps.overrides) this.#stateFor(scope.plugin).store(scope.tenant, record);
  }

  /** Reads the records, then starts what is not disabled. */
  async start(): Promise<void> {
    await this.#plane.start();
    await this.#snapshots.start(this.#snapshots.current);
    this.#started = true;
  }

  begin(context: RequestContext): RequestScope {
    if (this.#closing !== undefined) throw new PluginError("conflict", "the pipeline is closed");
    return new RequestScope(this.#engine, this.#snapshots.current, context);
  }

  has(hook: string): boolean {
    return this.#snapshots.current.chains[hook] !== undefined;
  }

  reads(hook: string): Reads {
    const chain = this.#snapshots.current.chains[hook];
    if (chain === undefined) return "none";
    const { serial, concurrent, background } = chain;
    const rank = Math.max(rankOf(serial), rankOf(concurrent), rankOf(background));
    return READS[rank] ?? "none";
  }

  async setMode(plugin: string, mode: Mode, options: SetModeOptions = {}): Promise<ConvergenceReport> {
    return this.#admin.setMode(plugin, mode, options);
  }

  async clearMode(plugin: string, options: SetModeOptions = {}): Promise<ConvergenceReport> {
    return this.#admin.clearMode(plugin, options);
  }

  enable(plugin: string): boolean {
    return this.#admin.enable(plugin);
  }

  list(): readonly PluginStatus[] {
    return this.#admin.list();
  }

  explainMode(
    plugin: string,
    context: Partial<RequestContext> = {},
    subject: { readonly tool?: string } = {},
  ): ModeExplanation {
    return this.#admin.explain(plugin, context, subject.tool);
  }

  async reload(config: PipelineConfig, options: { readonly force?: boolean } = {}): Promise<ReloadReport> {
    const parsed = parseStrictly(pipelineConfigSchema, config);
    const turn = this.#turn.then(() => this.#reload(parsed, options.force === true));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #reload(config: ParsedConfig, force: boolean): Promise<ReloadReport> {
    if (this.#closing !== undefined) throw new PluginError("conflict", "the pipeline is closed");
    const snapshots = this.#snapshots;
    const old = snapshots.current;
    const next = snapshots.prepare(config, force);
    const newcomers = next.plugins.some(({ name }) => old.plugin(name) === undefined);
    if (newcomers && !this.#deps.bus.synchronous) await this.#plane.refresh();
    await snapshots.start(next);
    snapshots.swap(next, config);
    for (const plugin of next.plugins) {
      const was = old.plugin(plugin.name);
      if (was !== undefined) await this.#news.reloaded(was, plugin);
    }
    return { ...reloadChanges(old, next), drained: snapshots.retire(old) };
  }

  close({
    deadlineMs = this.#snapshots.limits.drainMs,
  }: {
    readonly deadlineMs?: number;
  } = {}): Promise<void> {
    this.#closing ??= this.#close(deadlineMs);
    return this.#closing;
  }

  async #close(deadlineMs: number): Promise<void> {
    await this.#snapshots.close(deadlineMs);
    await this.#plane.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #stateFor(name: string): ModeState {
    let state = this.#states.get(name);
    if (state === undefined) {
      state = new ModeState(name);
      this.#plane.admit(state);
      this.#states.set(name, state);
    }
    return state;
  }

  stateOf(plugin: string): ModeState | undefined {
    return this.#states.get(plugin);
  }

  states(): Iterable<ModeState> {
    return this.#states.values();
  }

  applied(state: ModeState, tenant: string | undefined, change: AppliedRecord): Promise<void> {
    return this.#news.applied(state, tenant, change);
  }

  alert(kind: ControlAlert["kind"], detail: string, scope?: string): void {
    this.#news.alert(kind, detail, scope);
  }
}

/** The most that a slot which may run reads, as an index of {@link READS}. Asked for on every call. */
function rankOf(slots: readonly Slot[]): number {
  let most = 0;
  for (const { plugin, reads } of slots) {
    if (plugin.mayRun) most = Math.max(most, READS.indexOf(reads));
  }
  return most;
}
