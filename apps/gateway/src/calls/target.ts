import { GatewayError } from "../errors.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";

/** What one MCP endpoint serves. */
export type Target =
  /** One upstream, everything unchanged. */
  | { readonly kind: "plain"; readonly id: string; readonly upstreamId: string }
  /** Several upstreams, their names prefixed. `id` is missing on `/mcp`, which serves all. */
  | { readonly kind: "aggregate"; readonly id?: string; readonly upstreamIds?: readonly string[] };

/** The endpoint that serves all upstreams. */
export const everything: Target = { kind: "aggregate" };

/**
 * The target of `/servers/{id}/mcp`.
 *
 * @throws {GatewayError} `not_found`
 */
export function targetOf(snapshot: Snapshot, id: string): Target {
  const server = snapshot.servers.get(id);
  if (server === undefined) throw new GatewayError("not_found", `there is no server "${id}"`);
  const [only] = server.gatewayIds;
  if (server.names === "plain" && only !== undefined) return { kind: "plain", id, upstreamId: only };
  return { kind: "aggregate", id, upstreamIds: server.gatewayIds };
}

/** How the ids begin of what a limited token sees of {@link everything}. */
export const limitedPrefix = "only:";

/** A target as it is in this state of the registry; undefined when it is gone. */
export function renewed(snapshot: Snapshot, target: Target): Target | undefined {
  const { id } = target;
  if (id === undefined || id.startsWith(limitedPrefix)) return target;
  return snapshot.servers.has(id) ? targetOf(snapshot, id) : undefined;
}

/** The upstreams behind a target, in the order of their ids. */
export function upstreamsOf(snapshot: Snapshot, target: Target): readonly UpstreamRecord[] {
  if (target.kind === "aggregate" && target.upstreamIds === undefined)
    return [...snapshot.upstreams.values()];
  const ids = target.kind === "plain" ? [target.upstreamId] : (target.upstreamIds ?? []);
  return ids.flatMap((id) => snapshot.upstreams.get(id) ?? []);
}

/** Where an exposed name leads. */
export interface Route {
  readonly upstream: UpstreamRecord;
  /** The upstream's own name of the item. */
  readonly name: string;
}
