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

/**
 * A change of a record: the parts that get other values, or what says them of the record as it is when its turn has come.
 * Changes of one record follow each other. It may be asked again when a transaction is begun anew; what it throws undoes all.
 */
export type Change<Input, Stored> = Partial<Input> | ((before: Stored) => Partial<Input>);

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
 * Upstreams, virtual servers and catalogues. Creating an upstream also creates its implicit virtual server, of the same
 * id and with plain names; deleting it deletes that too. Names are unique whatever their case: a second one is refused
 * with `conflict`; a missing id with `not_found`; plain names of several upstreams with `validation_failed`. A database that is away is a `db_*` refusal.
 */
export interface RegistryRecords {
  upstreams(query: PageQuery): Promise<Page<UpstreamRecord>>;
  upstream(id: string): Promise<UpstreamRecord>;
  createUpstream(input: UpstreamInput, discovery?: Discovery): Promise<UpstreamRecord>;
  updateUpstream(id: string, change: Change<UpstreamInput, UpstreamRecord>): Promise<UpstreamRecord>;
  deleteUpstream(id: string): Promise<void>;
  /** Stores what listing found, or why it failed (the last good catalogue then stays). */
  saveDiscovery(id: string, outcome: Discovery | { readonly failure: string }): Promise<void>;
  servers(query: PageQuery): Promise<Page<ServerRecord>>;
  server(id: string): Promise<ServerRecord>;
  createServer(input: ServerInput): Promise<ServerRecord>;
  updateServer(id: string, change: Partial<ServerInput>): Promise<ServerRecord>;
  deleteServer(id: string): Promise<void>;
  items(kind: ItemKind, query: PageQuery): Promise<Page<CatalogueItem>>;
  contents(): Promise<RegistryContents>;
}

/** A caller's name for one write, so that it is done once however often it is asked for. */
export interface IdempotencyKey {
  /** Tells the caller's key from those of others. */
  readonly id: string;
  /** Of what was asked for; the same key for something else is refused. */
  readonly fingerprint: string;
}

/** What one request asks of the registry beside its records. */
export interface RequestTerms {
  /** Token of an earlier write: no read is older than it. Without one, reads see every write. */
  readonly token?: string | undefined;
  readonly idempotency?: IdempotencyKey | undefined;
}

/** The registry as one request uses it: bounded as a whole. */
export interface RequestRegistry extends RegistryRecords {
  /** Token of what this request has written; undefined when it wrote nothing, or where every read sees every write. */
  readonly token: string | undefined;
  /**
   * The id of what was written under the request's idempotency key before; undefined when nothing was.
   *
   * @throws {GatewayError} `validation_failed` when the key was used for something else
   */
  written(): Promise<string | undefined>;
}

/** Whether the registry can be used, and if not, why. */
export type RegistryHealth =
  | { readonly status: "ok" }
  | { readonly status: "down"; readonly reason: string; readonly since?: number };

/** Where upstreams, virtual servers and catalogues are kept. */
export interface Registry extends RegistryRecords {
  /** Overrides of plugin modes and the last changes; not a part of what {@link Registry.onChange} tells. */
  readonly plugins: PluginStore;
  /** The gateways that run on this registry. */
  readonly running: RunningStore;
  /** The registry on the terms of one request. */
  forRequest(terms: RequestTerms): RequestRegistry;
  /** Brings the tables up to date, once among the processes that share them. */
  migrate(): Promise<void>;
  health(): Promise<RegistryHealth>;
  /**
   * An operator's decision: the database server that can be reached is the right one, although one of a later history
   * was seen.
   *
   * @throws {GatewayError} `conflict` where there can be no other
   */
  acceptServer(): Promise<void>;
  /** What an operator may see of the database behind it; names no host. */
  describe(): Readonly<Record<string, unknown>>;
  /** Calls `listener` after every change, of this process or another; returns how to stop that. */
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
}
