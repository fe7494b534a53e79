import type { Principal } from "../../auth/principal.ts";
import { GatewayError } from "../../errors.ts";
import type { RegistryRecords } from "../../registry/registry.ts";

type Viewer = Principal | undefined;

/** Most servers of a limited token that are looked up. */
const maxServers = 1_000;

/** The part of a query that leaves the servers that a limited token is for; nothing for others. */
export function visibleServers(viewer: Viewer): { readonly ids?: readonly string[] } {
  return viewer?.servers === undefined ? {} : { ids: [...viewer.servers].slice(0, maxServers) };
}

/** The part of a query that leaves the upstreams behind the servers that a limited token is for. */
export async function visibleUpstreams(
  registry: RegistryRecords,
  viewer: Viewer,
): Promise<{ readonly ids?: readonly string[] }> {
  const { ids } = visibleServers(viewer);
  if (ids === undefined) return {};
  const { items } = await registry.servers({ ids, limit: maxServers, offset: 0 });
  return { ids: [...new Set(items.flatMap((server) => server.gatewayIds))] };
}

/**
 * Refuses a server that a limited token is not for.
 *
 * @throws {GatewayError} `forbidden`
 */
export function requireServer(viewer: Viewer, id: string): void {
  if (viewer?.servers?.has(id) === false) throw foreign();
}

/**
 * Refuses an upstream that is behind none of the servers that a limited token is for.
 *
 * @throws {GatewayError} `forbidden`
 */
export async function requireUpstream(registry: RegistryRecords, viewer: Viewer, id: string): Promise<void> {
  const { ids } = await visibleUpstreams(registry, viewer);
  if (ids?.includes(id) === false) throw foreign();
}

function foreign(): GatewayError {
  return new GatewayError("forbidden", "the token is not for this server");
}
