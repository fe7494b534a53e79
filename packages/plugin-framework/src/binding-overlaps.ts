import type { BoundField, CompiledBinding } from "./bindings.ts";
import type { RequestContext } from "./plugin-context.ts";

/** A call that some bindings match. */
export interface Overlap {
  readonly context: RequestContext;
  readonly tool: string | undefined;
}

type Fields = Pick<CompiledBinding, "tenant" | "server" | "tool">;

const LIMIT = 4_096;

/**
 * One call for each binding with a config, and one for each combination of them that can match together; at most 4 096.
 * That two globs overlap is seen when one lies within the other; else it shows when a call meets both.
 */
export function overlapsOf(bindings: readonly CompiledBinding[]): readonly Overlap[] {
  const found = new Map<string, Fields>();
  const configured = bindings.filter(({ config }) => config !== undefined);
  for (const binding of configured) found.set(keyOf(binding), binding);
  for (const binding of configured) {
    for (const known of [...found.values()]) {
      if (found.size >= LIMIT) break;
      const both = bothOf(known, binding);
      if (both !== undefined && !found.has(keyOf(both))) found.set(keyOf(both), both);
    }
  }
  return [...found.values()].map(({ tenant, server, tool }) => ({
    context: {
      requestId: "",
      ...(tenant.example !== undefined && { tenantId: tenant.example }),
      ...(server.example !== undefined && { serverId: server.example }),
    },
    tool: tool.example,
  }));
}

function keyOf({ tenant, server, tool }: Fields): string {
  return JSON.stringify([tenant.example ?? null, server.example ?? null, tool.example ?? null]);
}

function bothOf(one: Fields, other: Fields): Fields | undefined {
  const tenant = narrower(one.tenant, other.tenant);
  const server = narrower(one.server, other.server);
  const tool = narrower(one.tool, other.tool);
  if (tenant === undefined || server === undefined || tool === undefined) return undefined;
  return { tenant, server, tool };
}

/** The one whose example both match. */
function narrower(one: BoundField, other: BoundField): BoundField | undefined {
  if (one.example !== undefined && other.matches(one.example)) return one;
  if (other.example === undefined || one.matches(other.example)) return other;
  return undefined;
}
