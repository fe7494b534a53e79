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
  wipe(scope: string, known: ControlRecord | undefined, cause?: string): Promise<void>;
}

/** What a change comes to for somebody. */
type Turn = Pick<ModeChange, "previous" | "next">;

function ends({ previous, next }: Turn): boolean {
  return previous !== "disabled" && next === "disabled";
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
    const configured = this.#configured(runtime, tenant);
    return tenant === undefined ? configured : (runtime.modes.override ?? configured);
  }

  /** A reload changed what file or bindings say: an event, and a wipe when that switched a fenced plugin off. */
  async reloaded(was: PluginRuntime, now: PluginRuntime): Promise<void> {
    const { modes } = now;
    await this.#compared(now, undefined, was.base.mode, now.base.mode);
    for (const tenant of new Set([...was.boundTenants, ...now.boundTenants])) {
      const before = modes.override ?? this.#configured(was, tenant);
      const after = modes.override ?? this.#configured(now, tenant);
      await this.#compared(now, tenant, before, after);
    }
  }

  async #compared(now: PluginRuntime, tenant: string | undefined, before: Mode, after: Mode): Promise<void> {
    const record = now.modes.record(tenant);
    const [previous, next] = [modeUnder(record, before), modeUnder(record, after)];
    if (previous === next) return;
    await this.#tell(now, tenant, { previous, next, wipe: false, cause: "reload", setBy: "reload" });
    if (next === "disabled" && now.modeAuthority) await this.wipe(now, tenant);
  }

  /** Declares what a plugin has counted empty, for all or for a tenant; best effort. */
  async wipe({ modes, name }: PluginRuntime, tenant: string | undefined, cause?: string): Promise<void> {
    const scope = scopeText({ plugin: name, ...(tenant === undefined ? {} : { tenant }) });
    await this.#source.wipe(scope, modes.record(tenant), cause).catch(() => undefined);
  }

  switchedOff(state: ModeState, reason: string): void {
    if (state.switchedOff !== undefined) return;
    state.switchedOff = reason;
    const runtime = this.#source.runtimeOf(state.plugin);
    if (runtime === undefined) return;
    const previous = modeUnder(state.global, runtime.base.mode);
    const facts = { wipe: false, cause: "on_error", setBy: "onError" } as const;
    void this.#tell(runtime, undefined, { previous, next: "disabled", ...facts });
  }

  /** The end of {@link switchedOff}; false when there was none. */
  switchedOn(state: ModeState): boolean {
    if (state.switchedOff === undefined) return false;
    state.switchedOff = undefined;
    const runtime = this.#source.runtimeOf(state.plugin);
    if (runtime === undefined) return true;
    const next = modeUnder(state.global, runtime.base.mode);
    const facts = { wipe: false, cause: "enable", setBy: "enable" } as const;
    void this.#tell(runtime, undefined, { previous: "disabled", next, ...facts });
    return true;
  }

  async applied(state: ModeState, tenant: string | undefined, change: AppliedRecord): Promise<void> {
    const { previous: before, record } = change;
    const scope = { plugin: state.plugin, ...(tenant === undefined ? {} : { tenant }) };
    safely(() => this.#observer?.controlRecord?.(scope, record));
    const wasOff = state.switchedOff !== undefined;
    if (tenant === undefined && record.mode !== "inherit" && record.mode !== "disabled")
      state.switchedOff = undefined;
    const isOff = state.switchedOff !== undefined;
    const runtime = this.#source.runtimeOf(state.plugin);
    if (runtime === undefined || !this.#source.started()) return;
    const expired = record.uuid.endsWith(EXPIRED_SUFFIX);
    if (expired) this.alert("override_expired", `rev ${record.rev}`, scopeText(scope));
    const turn = (inherited: Mode): Turn => ({
      previous: wasOff ? "disabled" : modeUnder(before, inherited),
      next: isOff ? "disabled" : modeUnder(record, inherited),
    });
    const all = turn(this.inherited(runtime, tenant));
    const wipe = record.wipeSeq !== (before?.wipeSeq ?? 0);
    const cause = expired ? "expiry" : record.mode === "inherit" ? "clear" : "set";
    const facts = { cause, setBy: record.setBy, rev: record.rev } as const;
    if (all.next !== "disabled") await runtime.base.handle.start();
    await this.#tell(runtime, tenant, { ...all, ...facts, wipe });
    if (expired && ends(all) && runtime.modeAuthority) await this.wipe(runtime, tenant, record.uuid);
    if (tenant !== undefined) return;
    for (const bound of this.#boundBy(runtime)) {
      const own = turn(this.#configured(runtime, bound));
      // What happens to everyone has been said.
      if (own.previous === all.previous && own.next === all.next) continue;
      await this.#tell(runtime, bound, { ...own, ...facts, wipe: false });
      if (expired && ends(own) && runtime.modeAuthority) await this.wipe(runtime, bound, record.uuid);
    }
  }

  /** Modes in force for the tenants that have a binding of their own and no override. */
  boundModes(runtime: PluginRuntime): ReadonlyMap<string, Mode> {
    const { modes } = runtime;
    return new Map(
      this.#boundBy(runtime).map((tenant) => [
        tenant,
        modes.switchedOff === undefined
          ? modeUnder(modes.global, this.#configured(runtime, tenant))
          : "disabled",
      ]),
    );
  }

  #boundBy({ boundTenants, modes }: PluginRuntime): readonly string[] {
    return [...new Set(boundTenants)].filter(
      (tenant) => (modes.tenantRecord(tenant)?.mode ?? "inherit") === "inherit",
    );
  }

  #configured(runtime: PluginRuntime, tenant: string | undefined): Mode {
    const context = { requestId: "", ...(tenant === undefined ? {} : { tenantId: tenant }) };
    return runtime.resolve(context, undefined).mode;
  }

  alert(kind: ControlAlert["kind"], detail: string, scope?: string): void {
    const at = this.#clock.wallNow();
    const alert: ControlAlert = { kind, detail, at, ...(scope === undefined ? {} : { scope }) };
    safely(() => this.#observer?.controlAlert?.(alert));
  }

  async #tell(
    { name, modes }: PluginRuntime,
    tenant: string | undefined,
    change: Turn & Pick<ModeChange, "wipe" | "cause" | "setBy"> & { readonly rev?: number },
  ): Promise<void> {
    const record = modes.record(tenant);
    const { previous, next, setBy, rev = record?.rev ?? 0 } = change;
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
