/** How an upstream is reached, and how it is treated. */
export interface UpstreamDefinition {
  readonly url?: string;
  /** Speaks the transport of 2024-11-05 (HTTP+SSE); by default it is found out. */
  readonly transport?: "sse";
  readonly command?: string;
  readonly args?: readonly string[];
  readonly cwd?: string;
  readonly stateless: boolean;
  readonly trusted: boolean;
  readonly idempotency: boolean;
  readonly child: "session" | "shared";
  readonly maxConcurrencyPerSession?: number;
  /** Most sessions with it, of one caller and in all. */
  readonly caps?: { readonly perKey?: number | undefined; readonly perServer?: number | undefined };
  readonly refreshIntervalSeconds?: number;
  /** Tier fixed by the operator. */
  readonly tier?: "hot" | "warm" | "cold" | "dormant";
  readonly passthroughHeaders: readonly string[];
  readonly tags: readonly string[];
}

/** What is sent to an upstream as proof, and what a child finds in its environment. Kept sealed. */
export interface UpstreamCredentials {
  readonly headers: Readonly<Record<string, string>>;
  /** Headers in place of those of the same name, by {@link credentialUser}. */
  readonly users?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly env: Readonly<Record<string, string>>;
}

/** What an upstream said of itself when it was last reached. */
export interface UpstreamSelf {
  readonly era: "legacy" | "modern";
  readonly protocolVersion: string;
  readonly serverInfo: unknown;
  readonly capabilities: Readonly<Record<string, unknown>>;
  readonly instructions?: string;
  /** The revisions that a modern upstream says it speaks. */
  readonly supportedVersions?: readonly string[];
}

/** Whether an upstream could be reached when it was last tried. */
export type UpstreamState = "unknown" | "reachable" | "unreachable";

/** One registered upstream. */
export interface UpstreamRecord {
  readonly id: string;
  readonly name: string;
  /** The name in the alphabet of tool names; prefix on `/mcp`. */
  readonly slug: string;
  readonly definition: UpstreamDefinition;
  readonly credentials: UpstreamCredentials;
  /** `config` when a configuration file names it, else `api`. */
  readonly source: "config" | "api";
  readonly state: UpstreamState;
  readonly stateReason?: string;
  readonly self?: UpstreamSelf;
  readonly refreshedAt?: number;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Kinds of catalogue items. */
export type ItemKind = "tool" | "prompt" | "resource" | "resource_template";

/** One tool, prompt, resource or template of an upstream; `body` is its JSON as the upstream sent it. */
export interface CatalogueItem {
  readonly upstreamId: string;
  readonly kind: ItemKind;
  /** Name, URI or URI template. */
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What listing an upstream found. */
export interface Discovery {
  readonly self: UpstreamSelf;
  readonly items: readonly Omit<CatalogueItem, "upstreamId">[];
}

/** A virtual server: a named choice of upstreams behind `/servers/{id}/mcp`. */
export interface ServerRecord {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  /** Upstreams whose items it shows. */
  readonly gatewayIds: readonly string[];
  /** `plain` passes the names of its one upstream unchanged. */
  readonly names: "plain" | "prefixed";
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}
