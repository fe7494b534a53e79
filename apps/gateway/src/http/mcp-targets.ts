import type { Principal } from "../auth/principal.ts";
import { everything, limitedPrefix, type Target, targetOf } from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import type { Snapshot } from "../registry/snapshot.ts";

/** Finds what a path leads to, for a principal that may use it. */
export type McpTarget = (principal: Principal) => Target;

/**
 * Everything, or what a limited token may see of it.
 *
 * @param snapshot throws as long as the registry was never read
 */
export function allTargets(snapshot: () => Snapshot): McpTarget {
  return ({ servers }) => {
    snapshot();
    if (servers === undefined) return everything;
    const upstreamIds = [...servers].sort();
    return { kind: "aggregate", id: `${limitedPrefix}${upstreamIds.join(",")}`, upstreamIds };
  };
}

/** One virtual server. */
export function serverTarget(snapshot: () => Snapshot, id: string): McpTarget {
  return (principal) => {
    if (principal.servers?.has(id) === false) {
      throw new GatewayError("forbidden", "the token is not for this server");
    }
    return targetOf(snapshot(), id);
  };
}

/** The target of `/{last}` or `/servers/{id}/{last}`, with or without a slash at the end. */
export function targetAt(path: string, last: string, snapshot: () => Snapshot): McpTarget | undefined {
  const [, server, id, found] = /^(\/servers\/([^/]+))?\/([^/]+)\/?$/.exec(path) ?? [];
  if (found !== last) return undefined;
  if (server === undefined) return allTargets(snapshot);
  return serverTarget(snapshot, decoded(id ?? ""));
}

/** A path below an MCP route that leads nowhere. */
export function nothing(url: string): McpTarget {
  return () => {
    throw new GatewayError("not_found", `nothing is served at ${url.split("?")[0]}`);
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
