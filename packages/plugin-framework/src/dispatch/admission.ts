import type { Resolution } from "../lifecycle/plugin-runtime.ts";
import type { Mode } from "../mode.ts";
import type { RequestContext } from "../plugin-context.ts";
import type { Slot } from "./chain.ts";

/** The mode in force for a slot and a context, as this process knows it. */
export function localMode(slot: Slot, context: RequestContext, resolution: Resolution): Mode {
  const { modes } = slot.plugin;
  if (modes.tenants === undefined) return modes.override ?? resolution.mode;
  return modes.overrideFor(context.tenantId)?.mode ?? resolution.mode;
}

/**
 * Must the lease be valid before this decision? A skipped plugin and a plugin without `modeAuthority` decide by
 * the local mode alone; a fenced one reads the record itself.
 */
export function needsLease(slot: Slot, mode: Mode, now: number): boolean {
  const { plugin } = slot;
  return now > plugin.modes.leaseUntil && (mode === "disabled" || !plugin.modeAuthority);
}
