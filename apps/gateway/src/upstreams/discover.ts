import type { JsonObject } from "@gatewright/mcp-bridge";
import { UpstreamError, type UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { Discovery, ItemKind } from "../registry/records.ts";
import { viaOf } from "./hop.ts";

/** Most pages of one list that are read. */
const maxPages = 200;

const lists = [
  { capability: "tools", method: "tools/list", field: "tools", kind: "tool", key: "name" },
  { capability: "prompts", method: "prompts/list", field: "prompts", kind: "prompt", key: "name" },
  { capability: "resources", method: "resources/list", field: "resources", kind: "resource", key: "uri" },
  {
    capability: "resources",
    method: "resources/templates/list",
    field: "resourceTemplates",
    kind: "resource_template",
    key: "uriTemplate",
  },
] as const;

/** How an upstream is listed. */
export interface ListingRules {
  /** Milliseconds for one request. */
  readonly listTimeoutMs: number;
  /** Most items of all kinds that an upstream may offer. */
  readonly maxItems: number;
  /** The gateway's own name among deployments; items that came from it are left out. */
  readonly hopId: string;
  /** Ends the listing. */
  readonly signal?: AbortSignal | undefined;
}

/** What listing found, and for how long the upstream says that it holds. */
export interface Listing extends Discovery {
  /** Milliseconds, the shortest of all lists; undefined when no list says so. */
  readonly ttlMs: number | undefined;
}

interface Part {
  readonly items: Discovery["items"];
  readonly ttlMs: number;
}

/**
 * Lists everything an upstream offers, over a session of the gateway's own.
 *
 * @throws {UpstreamError} `upstream_protocol` when a list fails, or when it offers too much
 */
export async function discover(session: UpstreamSession, rules: ListingRules): Promise<Listing> {
  const left = { items: rules.maxItems };
  const parts = await Promise.all(
    lists
      .filter((list) => session.capabilities[list.capability] !== undefined)
      .map((list) => readList(session, list, rules, left)),
  );
  return {
    self: {
      era: session.era,
      protocolVersion: session.protocolVersion,
      serverInfo: session.serverInfo ?? null,
      capabilities: session.capabilities,
      ...(session.instructions === undefined ? {} : { instructions: session.instructions }),
      ...supportedBy(session),
    },
    items: parts.flatMap((part) => part.items),
    ttlMs: shortest(parts.map((part) => part.ttlMs)),
  };
}

function supportedBy({ era, handshake }: UpstreamSession): {
  readonly supportedVersions?: readonly string[];
} {
  const versions = handshake["supportedVersions"];
  return era === "modern" && Array.isArray(versions) ? { supportedVersions: versions.map(String) } : {};
}

async function readList(
  session: UpstreamSession,
  list: { readonly method: string; readonly field: string; readonly kind: ItemKind; readonly key: string },
  { listTimeoutMs: timeoutMs, maxItems, hopId, signal }: ListingRules,
  left: { items: number },
): Promise<Part> {
  let ttlMs = Number.POSITIVE_INFINITY;
  const items: { kind: ItemKind; name: string; body: JsonObject }[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < maxPages; page++) {
    const params = cursor === undefined ? {} : { cursor };
    const answer = await session.request(
      { method: list.method, params: JSON.stringify(params) },
      { timeoutMs, signal },
    );
    const value = answer.value();
    // A server that announces resources need not have templates, and says so by an error.
    if (answer.kind === "error") {
      const { code: rpcCode, message } = value;
      if (rpcCode === -32601) return { items, ttlMs };
      throw new UpstreamError("upstream_protocol", `${list.method} failed: ${String(message)}`, {
        phase: "response_received",
        ...(typeof rpcCode === "number" && { rpcCode }),
      });
    }
    for (const item of asArray(value[list.field])) {
      const name = item[list.key];
      if (--left.items < 0) {
        throw new UpstreamError(
          "upstream_protocol",
          `The upstream offers more than the ${maxItems} items of limits.itemsPerUpstream.`,
          { phase: "response_received" },
        );
      }
      if (typeof name === "string" && !viaOf(item).includes(hopId))
        items.push({ kind: list.kind, name, body: item });
    }
    const stated = value["ttlMs"];
    if (typeof stated === "number" && stated >= 0) ttlMs = Math.min(ttlMs, stated);
    cursor = typeof value["nextCursor"] === "string" ? value["nextCursor"] : undefined;
    if (cursor === undefined) break;
  }
  return { items, ttlMs };
}

function shortest(ttls: readonly number[]): number | undefined {
  const ttlMs = Math.min(...ttls);
  return Number.isFinite(ttlMs) ? ttlMs : undefined;
}

function asArray(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "object" && item !== null) : [];
}
