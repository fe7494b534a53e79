import type { Principal } from "../../auth/principal.ts";
import type { CatalogueItem, ServerRecord, UpstreamRecord } from "../../registry/records.ts";

const masked = "***";

/**
 * An upstream as the REST surface shows it: without credentials, only whether there are any. Whoever may not administer
 * sees neither the values in its URL's query nor its arguments: both may hold tokens.
 */
export function upstreamView(record: UpstreamRecord, viewer: Principal | undefined) {
  const { credentials, self, definition, stateReason, refreshedAt, ...rest } = record;
  const shown = viewer?.isAdmin === true ? definition : maskDefinition(definition);
  return {
    ...rest,
    ...shown,
    transport: definition.command === undefined ? (definition.transport ?? "http") : "stdio",
    hasCredentials: Object.keys(credentials.headers).length > 0,
    usersWithCredentials: Object.keys(credentials.users ?? {}).length,
    envKeys: Object.keys(credentials.env),
    ...(stateReason === undefined ? {} : { stateReason }),
    ...(refreshedAt === undefined ? {} : { refreshedAt }),
    ...(self === undefined ? {} : { self }),
  };
}

function maskDefinition({ url, args, ...definition }: UpstreamRecord["definition"]) {
  return {
    ...definition,
    ...(url === undefined ? {} : { url: maskUrl(url) }),
    ...(args === undefined ? {} : { args: args.map(() => masked) }),
  };
}

function maskUrl(text: string): string {
  const [place = "", query] = (text.split("#")[0] ?? "").split("?", 2);
  if (query === undefined) return place;
  const names = query
    .split("&")
    .map((pair) => (pair.includes("=") ? `${pair.split("=")[0]}=${masked}` : masked));
  return `${place}?${names.join("&")}`;
}

/** A virtual server as the REST surface shows it. */
export function serverView(record: ServerRecord) {
  return { ...record, endpoint: `/servers/${record.id}/mcp` };
}

/** A catalogue item as the REST surface shows it: the upstream's own JSON, and whose it is. */
export function itemView(item: CatalogueItem) {
  return { gatewayId: item.upstreamId, ...item.body };
}
