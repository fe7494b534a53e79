import type { Selectable } from "kysely";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { openText, sealText } from "../secret/sealed-text.ts";
import type { UpstreamCredentials, UpstreamDefinition, UpstreamRecord, UpstreamState } from "./records.ts";
import type { Tables } from "./tables.ts";

/** What is sealed: the credentials, and the parts of a definition in which tokens are found too. */
interface Sealed extends UpstreamCredentials {
  /** Query of the URL, with its `?`. */
  readonly search?: string;
  readonly args?: readonly string[];
}

const none: Sealed = { headers: {}, env: {} };

/** The record that a row of `upstreams` stands for, its credentials opened. */
export function toUpstream(row: Selectable<Tables["upstreams"]>, secret: GatewaySecret): UpstreamRecord {
  const { search, args, ...credentials } = opened(row, secret);
  const { url, command, args: plainArgs, ...rest } = JSON.parse(row.definition) as UpstreamDefinition;
  const list = args ?? plainArgs;
  return {
    id: row.id,
    name: row.name,
    slug: row.slug,
    definition: {
      ...(url === undefined ? {} : { url: `${url}${search ?? ""}` }),
      ...(command === undefined ? {} : { command }),
      ...(list === undefined ? {} : { args: list }),
      ...rest,
    },
    credentials,
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

/**
 * The stored form of a definition and its credentials. Credentials, the query of a URL and the arguments of a command are
 * sealed for this upstream; the column is null when there are none.
 */
export function toColumns(
  definition: UpstreamDefinition,
  { headers, env, users = {} }: UpstreamCredentials,
  id: string,
  secret: GatewaySecret,
): { readonly definition: string; readonly credentials: string | null } {
  const { args, url, ...open } = definition;
  const at = url?.indexOf("?") ?? -1;
  const sealed: Sealed = {
    headers,
    env,
    ...(Object.keys(users).length === 0 ? {} : { users }),
    ...(url === undefined || at < 0 ? {} : { search: url.slice(at) }),
    ...(args === undefined || args.length === 0 ? {} : { args }),
  };
  const empty = [headers, env, users].every((part) => Object.keys(part).length === 0);
  const bare = empty && sealed.search === undefined && sealed.args === undefined;
  const place = {
    ...(url === undefined ? {} : { url: at < 0 ? url : url.slice(0, at) }),
    ...(args === undefined || sealed.args !== undefined ? {} : { args }),
  };
  return {
    definition: JSON.stringify({ ...place, ...open }),
    credentials: bare ? null : sealText(secret, JSON.stringify(sealed), id),
  };
}

function opened(row: Selectable<Tables["upstreams"]>, secret: GatewaySecret): Sealed {
  if (row.credentials === null) return none;
  try {
    return JSON.parse(openText(secret, row.credentials, row.id));
  } catch (error) {
    // The configuration says them anew at every start.
    if (row.source === "config") return none;
    throw error;
  }
}
