import { GatewayError } from "../errors.ts";
import type { ItemKind, UpstreamRecord } from "../registry/records.ts";
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

/** One exposed item: its new name and the upstream's JSON. */
export interface ExposedItem extends Route {
  readonly exposed: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** The names of one kind of item on an aggregated endpoint. */
export interface NameTable {
  readonly items: readonly ExposedItem[];
  readonly routes: ReadonlyMap<string, Route>;
}

/** How names are put together. */
export interface NameRules {
  readonly separator: string;
  readonly maxLength: number;
}

/**
 * The names of an aggregated endpoint: `slug` + separator + name, cut to the longest allowed with a number
 * where two become equal. Resources keep their URIs; of two upstreams with one URI the first serves it.
 */
export function nameTable(snapshot: Snapshot, target: Target, kind: ItemKind, rules: NameRules): NameTable {
  const key = `names/${target.kind === "aggregate" ? (target.id ?? "") : target.upstreamId}/${kind}`;
  return snapshot.derive(key, () => build(snapshot, target, kind, rules));
}

function build(snapshot: Snapshot, target: Target, kind: ItemKind, rules: NameRules): NameTable {
  const items: ExposedItem[] = [];
  const routes = new Map<string, Route>();
  const prefixed = kind === "tool" || kind === "prompt";
  for (const upstream of upstreamsOf(snapshot, target)) {
    for (const item of snapshot.items(upstream.id, kind).values()) {
      const exposed = prefixed
        ? freeName(`${upstream.slug}${rules.separator}${item.name}`, rules.maxLength, routes)
        : item.name;
      if (routes.has(exposed)) continue;
      routes.set(exposed, { upstream, name: item.name });
      items.push({ upstream, name: item.name, exposed, body: item.body });
    }
  }
  return { items, routes };
}

function freeName(wanted: string, maxLength: number, taken: ReadonlyMap<string, unknown>): string {
  let name = wanted.slice(0, maxLength);
  for (let count = 2; taken.has(name); count++) {
    const suffix = `-${count}`;
    name = wanted.slice(0, maxLength - suffix.length) + suffix;
  }
  return name;
}
