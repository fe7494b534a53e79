import type { GatewayCore } from "../../app/gateway-core.ts";
import { GatewayError } from "../../errors.ts";
import type { UpstreamRecord } from "../../registry/records.ts";
import type { RegistryRecords } from "../../registry/registry.ts";
import { changeUpstream } from "../../upstreams/change-upstream.ts";
import { isReachedAlike } from "../../upstreams/live-upstreams.ts";
import { registerUpstream } from "../../upstreams/register-upstream.ts";
import { upstreamBody, upstreamPatch } from "../../upstreams/upstream-input.ts";
import { pageQuery, registryQuery, withTotal } from "./paging.ts";
import { defineRoute, type RestRoute, type RestViewer } from "./route.ts";
import { upstreamView } from "./upstream-view.ts";
import { requireUpstream, visibleUpstreams } from "./visible.ts";

/** `/gateways`: the upstreams. */
export function gatewayRoutes(core: GatewayCore): RestRoute[] {
  const { refresher, snapshots, pool, logger } = core;
  const show = async (id: string, { registry, principal }: RestViewer) =>
    upstreamView(await registry.upstream(id), principal);
  /** The change is made; listing the upstream anew may fail without undoing it. */
  const listedAnew = async (record: UpstreamRecord, registry: RegistryRecords): Promise<UpstreamRecord> => {
    try {
      await refresher.refresh(record);
      return await registry.upstream(record.id);
    } catch (error) {
      logger.warn({ err: error, upstream: record.name }, "changed, and not listed again");
      return record;
    }
  };
  return [
    defineRoute({
      method: "GET",
      path: "/gateways",
      summary: "List upstreams",
      access: "any",
      query: pageQuery,
      handle: async (request) => {
        const { registry } = request;
        const page = await registry.upstreams({
          ...registryQuery(request.query),
          ...(await visibleUpstreams(registry, request.principal)),
        });
        return {
          items: withTotal(request, page).map((record) => upstreamView(record, request.principal)),
          total: page.total,
        };
      },
    }),
    defineRoute({
      method: "POST",
      path: "/gateways",
      summary: "Register an upstream: connects and lists it now",
      access: "admin",
      body: upstreamBody,
      status: 201,
      show,
      handle: async ({ body, principal, registry }) => {
        const record = await registerUpstream({ ...core.registering, registry }, body, "refuse");
        refresher.listed(record);
        await snapshots.catchUp();
        return upstreamView(record, principal);
      },
    }),
    defineRoute({
      method: "GET",
      path: "/gateways/{id}",
      summary: "Show an upstream",
      access: "any",
      handle: async ({ params, principal, registry }) => {
        const id = params["id"] ?? "";
        await requireUpstream(registry, principal, id);
        return upstreamView(await registry.upstream(id), principal);
      },
    }),
    defineRoute({
      method: "PATCH",
      path: "/gateways/{id}",
      summary: "Change an upstream; when that changes how it is reached, it is listed again",
      access: "admin",
      body: upstreamPatch,
      show,
      handle: async ({ params, body, principal, registry }) => {
        const deps = { ...core.registering, registry };
        const { before, record } = await changeUpstream(deps, params["id"] ?? "", body);
        await snapshots.catchUp();
        if (!isReachedAlike(before, record)) core.replicas.upstreamChanged(record.id);
        return upstreamView(await listedAnew(record, registry), principal);
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/gateways/{id}",
      summary: "Remove an upstream; its sessions end",
      access: "admin",
      status: 204,
      show: () => undefined,
      handle: async ({ params, registry }) => {
        const id = params["id"] ?? "";
        await registry.deleteUpstream(id);
        await snapshots.catchUp();
        core.replicas.upstreamChanged(id);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/gateways/{id}/refresh",
      summary: "List an upstream again, now",
      access: "admin",
      handle: async ({ params, principal, registry }) => {
        await refresher.refresh(await registry.upstream(params["id"] ?? ""));
        await snapshots.catchUp();
        const record = await registry.upstream(params["id"] ?? "");
        if (record.state !== "unreachable") return upstreamView(record, principal);
        throw new GatewayError(
          "upstream_unreachable",
          `"${record.name}": ${record.stateReason ?? "unknown"}`,
        );
      },
    }),
    defineRoute({
      method: "GET",
      path: "/gateways/{id}/state",
      summary: "Whether an upstream can be reached, and its sessions",
      access: "any",
      handle: async ({ params, principal, registry }) => {
        await requireUpstream(registry, principal, params["id"] ?? "");
        const { id, state, stateReason, refreshedAt } = await registry.upstream(params["id"] ?? "");
        const gauges = pool.stats().perServer.find((server) => server.serverId === id);
        return {
          id,
          state,
          stateReason,
          refreshedAt,
          sessions: gauges?.sessions ?? 0,
          breaker: gauges?.breaker ?? "closed",
        };
      },
    }),
  ];
}
