import { localPrincipal } from "../auth/principal.ts";
import type { UpstreamAccesses } from "../mcp/upstream-access.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { UpstreamPool } from "../wiring/session-pool.ts";
import { isShared } from "./is-shared.ts";

/**
 * Starts the programs that calls without a session will find: those that all callers share and, in a gateway that asks
 * for no token, those of the one principal it has. Everybody else's start with their first call, as nobody is known
 * before.
 */
export function warmChildren(
  records: Iterable<UpstreamRecord>,
  { accesses, pool }: { readonly accesses: UpstreamAccesses; readonly pool: UpstreamPool },
  authRequired: boolean,
): void {
  for (const record of records) {
    if (record.definition.command === undefined) continue;
    const shared = isShared(record, false);
    if (!shared && authRequired) continue;
    const { key, context } = shared
      ? accesses.own(record)
      : accesses.of({ principal: localPrincipal, session: undefined }, record);
    pool.warm(key, context);
  }
}
