import type { ReloadReport } from "../plugin-pipeline.ts";
import type { PluginRuntime } from "./plugin-runtime.ts";
import type { Snapshot } from "./snapshot.ts";

/** What a reload did to the plugins, by name. */
export function reloadChanges(old: Snapshot, next: Snapshot): Omit<ReloadReport, "drained"> {
  const before = byName(old);
  const after = byName(next);
  const both = [...after.keys()].filter((name) => before.has(name));
  const kept = both.filter((name) => before.get(name)?.base.handle === after.get(name)?.base.handle);
  return {
    added: [...after.keys()].filter((name) => !before.has(name)),
    removed: [...before.keys()].filter((name) => !after.has(name)),
    replaced: both.filter((name) => !kept.includes(name)),
    kept,
  };
}

function byName({ plugins }: Snapshot): ReadonlyMap<string, PluginRuntime> {
  return new Map(plugins.map((plugin) => [plugin.name, plugin]));
}
