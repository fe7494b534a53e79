import { BindingIndex } from "../binding-index.ts";
import { overlapsOf } from "../binding-overlaps.ts";
import { compileBindings } from "../bindings.ts";
import { canonicalText } from "../canonical-text.ts";
import type { Mode } from "../mode.ts";
import type { ModeLayer, ModeState } from "../mode-state.ts";
import type { OnError } from "../phase.ts";
import { type ParsedConfig, resolveAlias } from "../pipeline-config.ts";
import type { RequestContext } from "../plugin-context.ts";
import type { PluginDefinition } from "../plugin-definition.ts";
import type { InstanceHandle } from "./instance-handle.ts";

type Entry = ParsedConfig["plugins"][number];
type BindingEntry = ParsedConfig["bindings"][number];
type RawConfig = Readonly<Record<string, unknown>>;

/** What file and bindings say for one context, before any override. */
export interface Resolution {
  readonly mode: Mode;
  readonly layer: "binding" | "file";
  readonly onError: OnError;
  readonly handle: InstanceHandle;
}

/** Makes, or finds again, the instance for a resolved config; while a snapshot is built, one that is not valid throws. */
export type HandleFor = (
  definition: PluginDefinition,
  name: string,
  config: RawConfig,
  path: string,
) => InstanceHandle;

const CACHE_LIMIT = 4_096;

/** One plugin of one snapshot: its settings, its bindings and its instances. */
export class PluginRuntime {
  readonly name: string;
  readonly definition: PluginDefinition;
  /** Order of registration. */
  readonly index: number;
  readonly priority: number;
  readonly timeoutMs: number;
  readonly conditions: Entry["conditions"];
  readonly modes: ModeState;
  readonly modeAuthority: boolean;
  readonly base: Resolution;
  readonly bound: boolean;
  /** Tenants that a binding names exactly and as a whole. */
  readonly boundTenants: readonly string[];
  readonly #bindings: BindingIndex;
  readonly #config: RawConfig;
  readonly #handleFor: HandleFor;
  readonly #cache = new Map<string, Resolution>();

  constructor(
    entry: Entry,
    index: number,
    bindings: readonly (BindingEntry & { readonly path: string })[],
    defaultTimeoutMs: number,
    modes: ModeState,
    handleFor: HandleFor,
  ) {
    const { use, conditions, config = {} } = entry;
    const defaults = use.defaults ?? {};
    this.definition = use;
    this.name = modes.plugin;
    this.index = index;
    this.priority = entry.priority ?? defaults.priority ?? 100;
    this.timeoutMs = entry.timeoutMs ?? defaults.timeoutMs ?? defaultTimeoutMs;
    this.conditions = conditions;
    this.modes = modes;
    this.modeAuthority = use.modeAuthority === true;
    this.#config = config;
    this.#handleFor = handleFor;
    const asked = resolveAlias(entry.mode ?? defaults.mode ?? "enforce", entry.onError ?? defaults.onError);
    const handle = handleFor(use, this.name, config, `plugins[${index}].config`);
    this.base = { mode: asked.mode, layer: "file", onError: asked.onError ?? "fail", handle };
    const compiled = compileBindings(bindings);
    this.#bindings = new BindingIndex(compiled);
    this.bound = bindings.length > 0;
    this.boundTenants = bindings
      .filter(({ tenant, server, tool }) => !/[*?\\]/.test(tenant) && server === "*" && tool === "*")
      .map(({ tenant }) => tenant);
    for (const { context, tool } of overlapsOf(compiled)) this.#resolve(context, tool);
  }

  /** Binding or file for one context; remembered. */
  resolve(context: RequestContext, tool: string | undefined): Resolution {
    if (!this.bound) return this.base;
    const key = canonicalText([context.tenantId, context.serverId, tool]);
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    if (this.#cache.size >= CACHE_LIMIT) this.#cache.clear();
    const resolution = this.#resolve(context, tool);
    this.#cache.set(key, resolution);
    return resolution;
  }

  #resolve(context: RequestContext, tool: string | undefined): Resolution {
    let { mode, onError, handle } = this.base;
    let layer: Resolution["layer"] = "file";
    let config: RawConfig | undefined;
    let path = "";
    for (const binding of this.#bindings.matching(context, tool)) {
      if (binding.config !== undefined) {
        path = `${config === undefined ? "" : `${path} with `}${binding.path}.config`;
        config = { ...(config ?? this.#config), ...binding.config };
      }
      if (binding.mode === undefined) continue;
      const asked = resolveAlias(binding.mode, this.base.onError);
      mode = asked.mode;
      onError = asked.onError ?? "fail";
      layer = "binding";
    }
    if (config !== undefined) handle = this.#handleFor(this.definition, this.name, config, path);
    return { mode, layer, onError, handle };
  }

  /** The mode in force for a context as this process knows it, and the layer that decides it. */
  modeFor(
    context: RequestContext,
    tool: string | undefined,
  ): { readonly mode: Mode; readonly layer: ModeLayer } {
    if (this.modes.switchedOff !== undefined) return { mode: "disabled", layer: "on_error" };
    return this.modes.overrideFor(context.tenantId) ?? this.resolve(context, tool);
  }

  /** Could any call run it now? */
  get mayRun(): boolean {
    const { switchedOff, override, tenants } = this.modes;
    if (switchedOff !== undefined) return false;
    return (override ?? this.base.mode) !== "disabled" || this.bound || tenants !== undefined;
  }
}
