import type { Clock } from "./clock.ts";
import type { AppliedRecord } from "./control/control-listener.ts";
import { type ControlRecord, EXPIRED_SUFFIX, modeUnder, scopeText } from "./control/control-record.ts";
import type { InstanceHandle } from "./lifecycle/instance-handle.ts";
import type { PluginRuntime } from "./lifecycle/plugin-runtime.ts";
import type { Mode } from "./mode.ts";
import type { ModeState } from "./mode-state.ts";
import { type ControlAlert, type PipelineObserver, safely } from "./observer.ts";
import type { ModeChange } from "./plugin-definition.ts";

/** Where {@link ModeNews} finds the current plugins. */
export interface NewsSource {
  runtimeOf(plugin: string): PluginRuntime | undefined;
  handlesOf(plugin: string): readonly InstanceHandle[];
  /** False while the pipeline is being made: what it finds then is no change. */
  started(): boolean;
  wipe(scope: string, known: ControlRecord | undefined): Promise<void>;
}

/** Turns whatever changes a mode into one event, one call of `onModeChange`, and a wipe where it is due. */
export class ModeNews {
  readonly #clock: Clock;
  readonly #observer: PipelineObserver | undefined;
  readonly #source: NewsSource;

  constructor(clock: Clock, observer: PipelineObserver | undefined, source: NewsSource) {
    this.#clock = clock;
    this.#observer = observer;
    this.#source = source;
  }

  /** What a record of the scope covers when it says `inherit`. */
  inherited(runtime: PluginRuntime, tenant: string | undefined): Mode {
    const { modes } = runtime;
    const context = { requestId: "", ...(tenant === undefined ? {} : { tenantId: tenant }) };
    const configured = runtime.resolve(context, undefined).mode;
    return tenant === undefined ? configured : (modes.override ?? configured);
  }

  /** A reload changed what file or bindings say: an event, and a wipe when that switched a fenced plugin off. */
  async reloaded(was: PluginRuntime, now: PluginRuntime): Promise<void> {
    const { modes } = now;
    await this.#compared(now, undefined, was.base.mode, now.base.mode);
    for (const tenant of new Set([...was.boundTenants, ...now.boundTenants])) {
      const context = { requestId: "", tenantId: tenant };
      const [before, after] = [was, now].map(
        (plugin) => modes.override ?? plugin.resolve(context, undefined).mode,
      );
      if (before !== undefined && after !== undefined) await this.#compared(now, tenant, before, after);
    }
  }

  async #compared(now: PluginRuntime, tenant: string | undefined, before: Mode, after: Mode): Promise<void> {
    const record = now.modes.record(tenant);
    const [previous, next] = [modeUnder(record, before), modeUnder(record, after)];
    if (previous === next) return;
    await this.#tell(now, tenant, { previous, next, wipe: false, cause: "reload", setBy: "reload" });
    if (next === "disabled" && now.modeAuthority) await this.#wipe(now, tenant);
  }

  async #wipe({ modes, name }: PluginRuntime, tenant: string | undefined): Promise<void> {
    const scope = scopeText({ plugin: name, ...(tenant === undefined ? {} : { tenant }) });
    await this.#source.wipe(scope, modes.record(tenant)).catch(() => undefined);
  }

  switchedOff(state: ModeState, reason: string): void {
    if (state.switchedOff !== undefined) return;
    state.switchedOff = reason;
    const runtime = this.#source.runtimeOf(state.plugin);
    if (runtime === undefined) return;
    const previous = modeUnder(state.global, runtime.base.mode);
    void this.#tell(runtime, undefined, {
      previous,
      next: "disabled",
      wipe: false,
      cause: "on_error",
      setBy: "onError",
    });
  }

  async applied(state: ModeState, tenant: string | undefined, change: AppliedRecord): Promise<void> {
    const { previous: before, record } = change;
    safely(() => {
      const scope = { plugin: state.plugin, ...(tenant === undefined ? {} : { tenant }) };
      this.#observer?.controlRecord?.(scope, record);
    });
    if (tenant === undefined && record.mode !== "inherit" && record.mode !== "disabled")
      state.switchedOff = undefined;
    const runtime = this.#source.runtimeOf(state.plugin);
    if (runtime === undefined || !this.#source.started()) return;
    const inherited = this.inherited(runtime, tenant);
    const previous = modeUnder(before, inherited);
    const next = modeUnder(record, inherited);
    const expired = record.uuid.endsWith(EXPIRED_SUFFIX);
    const wipe = record.wipeSeq !== (before?.wipeSeq ?? 0);
    if (expired)
      this.alert(
        "override_expired",
        `rev ${record.rev}`,
        scopeText({ plugin: state.plugin, ...(tenant === undefined ? {} : { tenant }) }),
      );
    const cause = expired ? "expiry" : record.mode === "inherit" ? "clear" : "set";
    if (next !== "disabled") await runtime.base.handle.start();
    await this.#tell(runtime, tenant, { previous, next, wipe, cause, setBy: record.setBy });
    if (expired && previous !== "disabled" && next === "disabled" && runtime.modeAuthority) {
      await this.#wipe(runtime, tenant);
    }
  }

  alert(kind: ControlAlert["kind"], detail: string, scope?: string): void {
    const at = this.#clock.wallNow();
    const alert: ControlAlert = { kind, detail, at, ...(scope === undefined ? {} : { scope }) };
    safely(() => this.#observer?.controlAlert?.(alert));
  }

  async #tell(
    { name, modes }: PluginRuntime,
    tenant: string | undefined,
    change: Pick<ModeChange, "previous" | "next" | "wipe" | "cause" | "setBy">,
  ): Promise<void> {
    const record = modes.record(tenant);
    const rev = record?.rev ?? 0;
    const { previous, next, setBy } = change;
    if (previous !== next) {
      const scope = scopeText({ plugin: name, ...(tenant === undefined ? {} : { tenant }) });
      const at = this.#clock.wallNow();
      safely(() => this.#observer?.modeChange?.({ plugin: name, scope, previous, next, rev, setBy, at }));
    }
    if (previous === next && !change.wipe) return;
    const full: ModeChange = {
      ...change,
      rev,
      wipeSeq: record?.wipeSeq ?? 0,
      ...(tenant === undefined ? {} : { tenant }),
    };
    await Promise.all(this.#source.handlesOf(name).map((handle) => handle.tell(full)));
  }
}
