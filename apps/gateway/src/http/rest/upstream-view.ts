import type { CatalogueItem, ServerRecord, UpstreamRecord } from "../../registry/records.ts";

/** An upstream as the REST surface shows it: without credentials, only whether there are any. */
export function upstreamView(record: UpstreamRecord) {
  const { credentials, self, definition, stateReason, refreshedAt, ...rest } = record;
  return {
    ...rest,
    ...definition,
    transport: definition.command === undefined ? "http" : "stdio",
    hasCredentials: Object.keys(credentials.headers).length > 0,
    envKeys: Object.keys(credentials.env),
    ...(stateReason === undefined ? {} : { stateReason }),
    ...(refreshedAt === undefined ? {} : { refreshedAt }),
    ...(self === undefined ? {} : { self }),
  };
}

/** A virtual server as the REST surface shows it. */
export function serverView(record: ServerRecord) {
  return { ...record, endpoint: `/servers/${record.id}/mcp` };
}

/** A catalogue item as the REST surface shows it: the upstream's own JSON, and whose it is. */
export function itemView(item: CatalogueItem) {
  return { gatewayId: item.upstreamId, ...item.body };
}
