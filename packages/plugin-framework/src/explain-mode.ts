import type { PluginRuntime } from "./lifecycle/plugin-runtime.ts";
import type { RequestContext } from "./plugin-context.ts";
import type { ModeExplanation, PluginStatus } from "./plugin-pipeline.ts";

/** Precedence: switched off by `onError` > tenant override > global override > binding > file. */
export function explainMode(
  plugin: PluginRuntime,
  context: RequestContext,
  tool: string | undefined,
  degraded: boolean,
): ModeExplanation {
  const { modes, base } = plugin;
  const { mode, layer } = plugin.modeFor(context, tool);
  const configured = plugin.resolve(context, tool);
  const tenant = modes.tenantRecord(context.tenantId);
  const rev = (layer === "tenant_override" ? tenant : modes.global)?.rev ?? 0;
  return {
    plugin: plugin.name,
    mode,
    layer,
    layers: {
      ...(modes.switchedOff === undefined ? {} : { on_error: modes.switchedOff }),
      ...(tenant === undefined ? {} : { tenant_override: tenant }),
      ...(modes.global === undefined ? {} : { global_override: modes.global }),
      ...(configured.layer === "binding" ? { binding: configured.mode } : {}),
      file: base.mode,
    },
    rev,
    degraded,
  };
}

/** One line of a listing: the mode without a tenant, server or tool. */
export function pluginStatus(plugin: PluginRuntime, degraded: boolean): PluginStatus {
  const { layers: _, ...explained } = explainMode(plugin, { requestId: "" }, undefined, degraded);
  const { definition, modes, base } = plugin;
  const stats = base.handle.stats();
  const { setBy, expiresAt, wipeSeq = 0 } = modes.global ?? {};
  return {
    ...explained,
    version: definition.version,
    description: definition.description,
    configuredMode: base.mode,
    priority: plugin.priority,
    onError: base.onError,
    timeoutMs: plugin.timeoutMs,
    hooks: Object.keys(definition.hooks),
    state: base.handle.state,
    wipeSeq,
    ...(setBy === undefined ? {} : { setBy }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    tenantOverrides: [...(modes.tenants?.entries() ?? [])].flatMap(([name, { mode }]) =>
      mode === "inherit" ? [] : [name],
    ),
    ...(stats === undefined ? {} : { stats }),
  };
}
