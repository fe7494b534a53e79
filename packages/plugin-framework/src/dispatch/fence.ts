import type { ModeAuthority } from "../hook-outcome.ts";
import { isMode } from "../mode.ts";
import type { Engine } from "./engine.ts";
import type { HandlerCall } from "./handler-call.ts";

/**
 * Clause I1: a fenced plugin's own reading of the control record wins over the local mode, unless it is older than
 * what is known here. A reading of the known record renews the lease from when the call began; a newer one makes
 * this process read the record. True: the mode was decided by the fence.
 */
export function honourFence(
  engine: Engine,
  call: HandlerCall,
  authority: ModeAuthority | undefined,
): boolean {
  const { plugin } = call.slot;
  if (!plugin.modeAuthority || authority === undefined || !isMode(authority.mode)) return false;
  const { modes } = plugin;
  const { tenantId } = call.scope.context;
  const ahead = authority.rev - (modes.global?.rev ?? 0);
  const tenantAhead = (authority.tenantRev ?? 0) - (modes.tenantRecord(tenantId)?.rev ?? 0);
  if (ahead < 0 || (tenantAhead < 0 && authority.tenantRev !== undefined)) {
    const tenant = ahead < 0 ? undefined : tenantId;
    engine.gate.noteStale(modes, tenant, (ahead < 0 ? authority.rev : authority.tenantRev) === 0);
    return false;
  }
  call.mode = authority.mode;
  if (ahead > 0) engine.gate.noteNewer(modes, undefined);
  if (tenantAhead > 0) engine.gate.noteNewer(modes, tenantId);
  // One tenant's reply says nothing of another tenant's record.
  if (ahead === 0 && tenantAhead <= 0 && modes.tenants === undefined) {
    const until = call.startedAt + engine.gate.leaseMs;
    if (until > modes.leaseUntil) modes.leaseUntil = until;
  }
  return true;
}

/**
 * Did a fenced plugin take itself for disabled, though by what is known here it is not? That is what a lost or lagging
 * copy of a record comes to where the file says disabled: nothing was decided and nothing counted.
 */
export function lookedAway(call: HandlerCall, authority: ModeAuthority | undefined): boolean {
  return call.slot.plugin.modeAuthority && authority?.mode === "disabled" && call.mode !== "disabled";
}
