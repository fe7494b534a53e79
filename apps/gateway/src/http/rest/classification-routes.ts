import { z } from "zod";
import type { GatewayCore } from "../../app/gateway-core.ts";
import { nearestKey } from "../../config/nearest-key.ts";
import { redisPlace } from "../../config/redis.ts";
import { GatewayError } from "../../errors.ts";
import type { UpstreamRecord } from "../../registry/records.ts";
import { polledServer } from "../../wiring/server-classifier.ts";
import { defineRoute, type RestRoute } from "./route.ts";

const query = z.strictObject({ server: z.string().min(1).optional() });

/** `GET /admin/classification`: tiers of the upstreams, who decides them, and when each is polled next. */
export function classificationRoutes({ polling, config, snapshots }: GatewayCore): RestRoute[] {
  const { classifier } = polling;
  const explain = (record: UpstreamRecord) => {
    const { serverId, ...facts } = classifier.explain(polledServer(record));
    return { id: serverId, name: record.name, state: record.state, ...facts };
  };
  return [
    defineRoute({
      method: "GET",
      path: "/admin/classification",
      summary: "Tiers of upstreams and their polls; `server` (id or name) explains one",
      access: "admin",
      query,
      handle: ({ query: { server } }) => {
        const all = [...(snapshots.current?.upstreams.values() ?? [])];
        if (server !== undefined) {
          const found = all.find(({ id, name }) => id === server || name === server);
          if (found === undefined) throw unknown(server, all);
          return explain(found);
        }
        const { running, ...stats } = classifier.stats();
        return {
          replica: classifier.instanceId,
          enabled: config.classifier.enabled,
          preset: config.classifier.preset,
          shared: redisPlace(config.redis) !== undefined,
          ...stats,
          metadata: classifier.snapshot()?.metadata ?? null,
          items: all.map(explain),
          total: all.length,
        };
      },
    }),
  ];
}

function unknown(server: string, all: readonly UpstreamRecord[]): GatewayError {
  const near = nearestKey(
    server,
    all.map(({ name }) => name),
  );
  return new GatewayError("not_found", `there is no gateway "${server}"`, {
    details: near === undefined ? {} : { nearest: near },
  });
}
