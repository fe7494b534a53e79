import type { PluginStore } from "./plugin-store.ts";
import type {
  CatalogueItem,
  Discovery,
  ItemKind,
  ServerRecord,
  UpstreamCredentials,
  UpstreamDefinition,
  UpstreamRecord,
} from "./records.ts";
import type { RunningStore } from "./running-store.ts";

/** A part of a list and the length of the whole. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly total: number;
}

/** Which part of a list is wanted. */
export interface PageQuery {
  /** Exact name. */
  readonly name?: string;
  /** Only these; for items, only those of these upstreams. */
  readonly ids?: readonly string[];
  readonly limit: number;
  readonly offset: number;
}

/** What is needed to write an upstream. */
export interface UpstreamInput {
  readonly name: string;
  readonly definition: UpstreamDefinition;
  readonly credentials: UpstreamCredentials;
  readonly source: "config" | "api";
}

/** What is needed to write a virtual server. */
export interface ServerInput {
  readonly name: string;
  readonly description?: string;
  readonly gatewayIds: readonly string[];
  readonly names: "plain" | "prefixed";
}

/** Everything that the data path needs, read at one moment. */
export interface RegistryContents {
  readonly upstreams: readonly UpstreamRecord[];
  readonly servers: readonly ServerRecord[];
  readonly items: readonly CatalogueItem[];
}

/**
 * Where upstreams, virtual servers and catalogues are kept. Creating an upstream also creates its implicit
 * virtual server, of the same id and with plain names; deleting it deletes that too. Names are unique
 * whatever their case: a second one is refused with `conflict`; a missing id with `not_found`.
 */
export interface Registry {
  upstreams(query: PageQuery): Promise<Page<UpstreamRecord>>;
  upstream(id: string): Promise<UpstreamRecord>;
  createUpstream(input: UpstreamInput, discovery?: Discovery): Promise<UpstreamRecord>;
  updateUpstream(id: string, input: Partial<UpstreamInput>): Promise<UpstreamRecord>;
  deleteUpstream(id: string): Promise<void>;
  /** Stores what listing found, or why it failed (the last good catalogue then stays). */
  saveDiscovery(id: string, outcome: Discovery | { readonly failure: string }): Promise<void>;
  servers(query: PageQuery): Promise<Page<ServerRecord>>;
  server(id: string): Promise<ServerRecord>;
  createServer(input: ServerInput): Promise<ServerRecord>;
  updateServer(id: string, input: Partial<ServerInput>): Promise<ServerRecord>;
  deleteServer(id: string): Promise<void>;
  items(kind: ItemKind, query: PageQuery): Promise<Page<CatalogueItem>>;
  contents(): Promise<RegistryContents>;
  /** Overrides of plugin modes and the last changes; not a part of what {@link Registry.onChange} tells. */
  readonly plugins: PluginStore;
  /** The gateways that run on this registry. */
  readonly running: RunningStore;
  /** Answers when the store can be read. */
  ping(): Promise<void>;
  /** Calls `listener` after every change, of this process or another; returns how to stop that. */
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
}
