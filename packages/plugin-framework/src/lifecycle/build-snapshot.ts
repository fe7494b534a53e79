import { canonicalText } from "../canonical-text.ts";
import type { Clock } from "../clock.ts";
import { type Chain, composeChain } from "../dispatch/chain.ts";
import { type ConfigIssue, PluginConfigError } from "../errors.ts";
import type { KnownHook } from "../hook-registry.ts";
import type { ModeState } from "../mode-state.ts";
import { nearest } from "../nearest.ts";
import type { LifecycleFailure } from "../observer.ts";
import type { ParsedConfig } from "../pipeline-config.ts";
import { InstanceHandle, parsePluginConfig } from "./instance-handle.ts";
import { type HandleFor, PluginRuntime } from "./plugin-runtime.ts";
import { Snapshot } from "./snapshot.ts";

/** What a snapshot is built from beside its configuration. */
export interface SnapshotParts {
  readonly clock: Clock;
  readonly hooks: ReadonlyMap<string, KnownHook>;
  /** Instances to keep when definition and config are the same; empty for a forced reload. */
  readonly previous: ReadonlyMap<string, InstanceHandle>;
  readonly stateOf: (plugin: string) => ModeState;
  readonly report: (failure: LifecycleFailure) => void;
}

function suggest(word: string, known: Iterable<string>): Pick<ConfigIssue, "suggestion"> {
  const suggestion = nearest(word, known);
  return suggestion === undefined ? {} : { suggestion };
}

/** Cross-field rules: unique names, known hooks, bindings of registered plugins. */
function check(config: ParsedConfig, hooks: ReadonlyMap<string, KnownHook>): readonly string[] {
  const issues: ConfigIssue[] = [];
  const names: string[] = [];
  config.plugins.forEach(({ use, name = use.name }, index) => {
    if (!name.isWellFormed()) {
      const message = "must be well-formed Unicode, without a lone surrogate";
      issues.push({ path: `plugins[${index}].use.name`, message });
    }
    if (names.includes(name)) {
      issues.push({ path: `plugins[${index}].name`, message: `"${name}" is registered twice` });
    }
    names.push(name);
    if (use.recordsOf !== undefined && use.recordsOf !== name) {
      const message = `"${name}" would decide under the control records of "${use.recordsOf}"; register it as that`;
      issues.push({ path: `plugins[${index}].name`, message, suggestion: use.recordsOf });
    }
    for (const hook of Object.keys(use.hooks)) {
      if (hooks.has(hook)) continue;
      const message = `plugin ${name} names the unknown hook "${hook}"`;
      issues.push({ path: `plugins[${index}].use.hooks`, message, ...suggest(hook, hooks.keys()) });
    }
  });
  config.bindings.forEach(({ plugin }, index) => {
    if (names.includes(plugin)) return;
    const message = `no plugin is named "${plugin}"`;
    issues.push({ path: `bindings[${index}].plugin`, message, ...suggest(plugin, names) });
  });
  if (issues.length > 0) throw new PluginConfigError(issues);
  return names;
}

/** Builds, but does not start, everything that a configuration names. */
export function buildSnapshot(config: ParsedConfig, parts: SnapshotParts): Snapshot {
  const { clock, hooks, previous, stateOf, report } = parts;
  const names = check(config, hooks);
  const handles = new Map<string, InstanceHandle>();
  let accepted = false;
  const handleFor: HandleFor = (definition, name, own, path) => {
    const key = canonicalText([name, definition.name, definition.version, own]);
    const known = handles.get(key) ?? previous.get(key);
    const reusable = known !== undefined && known.state !== "failed" && known.state !== "stopped";
    if (reusable) {
      handles.set(key, known);
      return known;
    }
    let parsed: unknown;
    let invalid: unknown;
    try {
      parsed = parsePluginConfig(definition, own, path);
    } catch (error) {
      if (!accepted) throw error;
      // Bindings whose patterns overlap in a way that was not foreseen: from now on this is the plugin's failure.
      invalid = error;
    }
    const handle = new InstanceHandle(
      definition,
      key,
      parsed,
      { name, clock },
      config.limits.timeoutMs,
      report,
    );
    if (invalid !== undefined) handle.fail("create", invalid);
    handles.set(key, handle);
    return handle;
  };
  const bindings = config.bindings.map((binding, index) => ({ ...binding, path: `bindings[${index}]` }));
  const plugins = config.plugins.map((entry, index) => {
    const name = names[index] ?? entry.use.name;
    const own = bindings.filter(({ plugin }) => plugin === name);
    return new PluginRuntime(entry, index, own, config.limits.timeoutMs, stateOf(name), handleFor);
  });
  const chains = Object.create(null) as Record<string, Chain | undefined>;
  for (const hook of hooks.values()) chains[hook.name] = composeChain(hook, plugins);
  accepted = true;
  return new Snapshot(chains, plugins, handles, config.limits.payloadCharacters);
}
