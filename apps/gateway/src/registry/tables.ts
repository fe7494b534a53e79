/** The tables of the registry; portable: text ids, JSON as text, milliseconds as integers, 0 and 1. */
export interface Tables {
  /** Kysely's own: the migrations that were made. */
  kysely_migration: { name: string; timestamp: string };
  upstreams: {
    id: string;
    name: string;
    name_lower: string;
    slug: string;
    /** {@link UpstreamDefinition} without credentials, as JSON. */
    definition: string;
    /** Sealed credentials (authorization, headers, environment), or null. */
    credentials: string | null;
    source: string;
    state: string;
    state_reason: string | null;
    /** What the upstream said of itself, as JSON, or null before it was reached. */
    self: string | null;
    refreshed_at: number | null;
    revision: number;
    created_at: number;
    updated_at: number;
  };
  catalogue_items: {
    upstream_id: string;
    kind: string;
    name: string;
    position: number;
    body: string;
  };
  servers: {
    id: string;
    name: string;
    name_lower: string;
    definition: string;
    revision: number;
    created_at: number;
    updated_at: number;
  };
  /** One row, counted up with every change that others have to hear of; where changes are not told otherwise. */
  registry_version: { id: number; version: number };
  /** Writes that were asked for under a key of the caller's, and what each has written. */
  idempotency_keys: { id: string; fingerprint: string; target: string; created_at: number };
  /** Gateways that run on this registry; `names` are their configured upstreams as JSON. */
  running_gateways: { id: string; pid: number; started_at: number; names: string; seen_at: number };
  /** What admins have set, by scope; outlives a restart of everything. */
  plugin_overrides: {
    scope: string;
    rev: number;
    /** The control record as JSON. */
    record: string;
    updated_at: number;
  };
  /** The last mode changes. `id` tells a change from others and is the same on every replica. */
  audit_events: {
    id: string;
    at: number;
    plugin: string;
    scope: string;
    previous: string;
    next: string;
    rev: number;
    set_by: string;
  };
}
