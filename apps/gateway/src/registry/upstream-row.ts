import type { Selectable } from "kysely";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { openText, sealText } from "../secret/sealed-text.ts";
import type { UpstreamCredentials, UpstreamRecord, UpstreamState } from "./records.ts";
import type { Tables } from "./tables.ts";

const none: UpstreamCredentials = { headers: {}, env: {} };

/** The record that a row of `upstreams` stands for, its credentials opened. */
export function toUpstream(row: Selectable<Tables["upstreams"]>, secret: GatewaySecret): UpstreamRecord {
  return {
    id: row.id,
    name: row.name,
    slug: row.slug,
    definition: JSON.parse(row.definition),
    credentials: row.credentials === null ? none : JSON.parse(openText(secret, row.credentials, row.id)),
    source: row.source === "config" ? "config" : "api",
    state: row.state as UpstreamState,
    revision: row.revision,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    ...(row.state_reason === null ? {} : { stateReason: row.state_reason }),
    ...(row.self === null ? {} : { self: JSON.parse(row.self) }),
    ...(row.refreshed_at === null ? {} : { refreshedAt: row.refreshed_at }),
  };
}

/** The stored form of credentials: sealed for this upstream, or null when there are none. */
export function sealCredentials(
  credentials: UpstreamCredentials,
  id: string,
  secret: GatewaySecret,
): string | null {
  const empty = Object.keys(credentials.headers).length + Object.keys(credentials.env).length === 0;
  return empty ? null : sealText(secret, JSON.stringify(credentials), id);
}
