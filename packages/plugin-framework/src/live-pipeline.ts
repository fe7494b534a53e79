import type { Clock } from "./clock.ts";
import type { ControlBus } from "./control/control-bus.ts";
import type { AppliedRecord, ControlListener } from "./control/control-listener.ts";
import { ControlPlane } from "./control/control-plane.ts";
import { modeUnder } from "./control/control-record.ts";
import type { ControlTiming } from "./control/control-timing.ts";
import type { ConvergenceReport, SetModeOptions } from "./control/convergence-report.ts";
import { Deadlines } from "./deadlines.ts";
import type { Slot } from "./dispatch/chain.ts";
import type { Engine } from "./dispatch/engine.ts";
import { RequestScope } from "./dispatch/request-scope.ts";
import { PluginError } from "./errors.ts";
import type { KnownHook } from "./hook-registry.ts";
import { buildSnapshot } from "./lifecycle/build-snapshot.ts";
import type { Snapshot } from "./lifecycle/snapshot.ts";
import type { Mode } from "./mode.ts";
import { ModeAdmin } from "./mode-admin.ts";
import { ModeNews } from "./mode-news.ts";
import { ModeState } from "./mode-state.ts";
import { type ControlAlert, type LifecycleFailure, type PipelineObserver, safely } from "./observer.ts";
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
import { within } from "./within.ts";

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

/** The pipeline behind `createPluginPipeline`: the current snapshot, the modes, and the way from one to the next. */
export class LivePipeline implements PluginPipeline, ControlListener {
  readonly #deps: LiveDeps;
  readonly #plane: ControlPlane;
  readonly #engine: Engine;
  readonly #news: ModeNews;
  readonly #admin: ModeAdmin;
  readonly #states = new Map<string, ModeState>();
  /** Snapshots that are current or still drain. */
  readonly #live = new Set<Snapshot>();
  #config: ParsedConfig;
  #snapshot: Snapshot;
  #started = false;
  #turn: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(config: ParsedConfig, deps: LiveDeps) {
    this.#deps = deps;
    this.#config = config;
    const { bus, replica, clock, random, timing, observer } = deps;
    this.#plane = new ControlPlane({ bus, replica, clock, random, timing, listener: this });
    this.#news = new ModeNews(clock, observer, {
      runtimeOf: (name) => this.#snapshot?.plugin(name),
      handlesOf: (name) => [...this.#snapshot.handles.values()].filter(({ host }) => host.name === name),
      started: () => this.#started,
      wipe: (scope, known) => this.#plane.wipe(scope, known),
    });
    this.#admin = new ModeAdmin({
      clock,
      bus,
      plane: this.#plane,
      news: this.#news,
      snapshot: () => this.#snapshot,
      tenantOverrides: () => this.#config.limits.tenantOverrides,
    });
    this.#engine = {
      clock,
      deadlines: new Deadlines(clock),
      observer,
      gate: this.#plane,
      background: { running: 0, limit: config.limits.backgroundHandlers },
      switchOff: (state, reason) => this.#news.switchedOff(state, reason),
    };
    this.#snapshot = this.#build(config, new Map());
    this.#live.add(this.#snapshot);
    for (const { scope, record } of deps.overrides) this.#stateFor(scope.plugin).store(scope.tenant, record);
  }

  /** Reads the records, then starts what is not disabled. */
  async start(): Promise<void> {
    await this.#plane.start();
    await this.#startPlugins(this.#snapshot);
    this.#started = true;
  }

  begin(context: RequestContext): RequestScope {
    if (this.#closing !== undefined) throw new PluginError("conflict", "the pipeline is closed");
    return new RequestScope(this.#engine, this.#snapshot, context);
  }

  has(hook: string): boolean {
    return this.#snapshot.chains[hook] !== undefined;
  }

  reads(hook: string): Reads {
    const chain = this.#snapshot.chains[hook];
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
    const old = this.#snapshot;
    const next = this.#build(config, force ? new Map() : old.handles);
    this.#live.add(next);
    const newcomers = next.plugins.some(({ name }) => old.plugin(name) === undefined);
    if (newcomers && !this.#deps.bus.synchronous) await this.#plane.refresh();
    await this.#startPlugins(next);
    const before = new Map(old.plugins.map((plugin) => [plugin.name, plugin]));
    const after = new Map(next.plugins.map((plugin) => [plugin.name, plugin]));
    this.#snapshot = next;
    this.#config = config;
    for (const plugin of next.plugins) {
      const was = before.get(plugin.name);
      if (was !== undefined) await this.#news.reloaded(was, plugin);
    }
    const both = [...after.keys()].filter((name) => before.has(name));
    const kept = both.filter((name) => before.get(name)?.base.handle === after.get(name)?.base.handle);
    return {
      added: [...after.keys()].filter((name) => !before.has(name)),
      removed: [...before.keys()].filter((name) => !after.has(name)),
      replaced: both.filter((name) => !kept.includes(name)),
      kept,
      drained: this.#retire(old),
    };
  }

  async #retire(old: Snapshot): Promise<void> {
    const { clock } = this.#deps;
    await within(clock, this.#config.limits.drainMs, old.drained()).catch(() => undefined);
    this.#live.delete(old);
    const needed = new Set([...this.#live].flatMap((snapshot) => [...snapshot.handles.values()]));
    const leftovers = [...old.handles.values()].filter((handle) => !needed.has(handle));
    await Promise.all(leftovers.map((handle) => handle.stop()));
  }

  close({ deadlineMs = this.#config.limits.drainMs }: { readonly deadlineMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(deadlineMs);
    return this.#closing;
  }

  async #close(deadlineMs: number): Promise<void> {
    const all = [...this.#live];
    const drained = Promise.all(all.map((snapshot) => snapshot.drained()));
    await within(this.#deps.clock, deadlineMs, drained).catch(() => undefined);
    const handles = new Set(all.flatMap((snapshot) => [...snapshot.handles.values()]));
    await Promise.all([...handles].map((handle) => handle.stop()));
    await this.#plane.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #build(config: ParsedConfig, previous: Snapshot["handles"]): Snapshot {
    const { clock, hooks } = this.#deps;
    const report = (failure: LifecycleFailure) => this.#report(failure);
    return buildSnapshot(config, { clock, hooks, previous, stateOf: (name) => this.#stateFor(name), report });
  }

  async #startPlugins(snapshot: Snapshot): Promise<void> {
    const due = snapshot.plugins.filter(
      ({ modes, base }) => modeUnder(modes.global, base.mode) !== "disabled",
    );
    await Promise.all(due.map(({ base }) => base.handle.start()));
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

  #report(failure: LifecycleFailure): void {
    safely(() => this.#deps.observer?.lifecycleFailure?.(failure));
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
