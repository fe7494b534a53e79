import type { GatewayCore } from "../../app/gateway-core.ts";
import { GatewayError } from "../../errors.ts";
import type { UpstreamInput } from "../../registry/registry.ts";
import { checkUpstreamUrl } from "../../upstreams/address-guard.ts";
import { registerUpstream } from "../../upstreams/register-upstream.ts";
import { changedInput, upstreamBody, upstreamPatch } from "../../upstreams/upstream-input.ts";
import { pageQuery, registryQuery, withTotal } from "./paging.ts";
import { defineRoute, type RestRoute } from "./route.ts";
import { upstreamView } from "./upstream-view.ts";
import { requireUpstream, visibleUpstreams } from "./visible.ts";

/** `/gateways`: the upstreams. */
export function gatewayRoutes(core: GatewayCore): RestRoute[] {
  const { registry, refresher, snapshots, pool } = core;
  return [
    defineRoute({
      method: "GET",
      path: "/gateways",
      summary: "List upstreams",
      access: "any",
      query: pageQuery,
      handle: async (request) => {
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
      handle: async ({ body, principal }) => {
        const record = await registerUpstream(core.registering, body, "refuse");
        refresher.listed(record);
        await snapshots.refresh();
        return upstreamView(record, principal);
      },
    }),
    defineRoute({
      method: "GET",
      path: "/gateways/{id}",
      summary: "Show an upstream",
      access: "any",
      handle: async ({ params, principal }) => {
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
      handle: async ({ params, body, principal }) => {
        const before = await registry.upstream(params["id"] ?? "");
        const input: Partial<UpstreamInput> = changedInput(before, body);
        const url = input.definition?.url;
        if (url !== undefined) await checkUpstreamUrl(url, core.allowPrivate);
        const record = await registry.updateUpstream(before.id, input);
        await snapshots.refresh();
        await refresher.refresh(record);
        return upstreamView(await registry.upstream(record.id), principal);
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/gateways/{id}",
      summary: "Remove an upstream; its sessions end",
      access: "admin",
      status: 204,
      handle: async ({ params }) => {
        await registry.deleteUpstream(params["id"] ?? "");
        await snapshots.refresh();
      },
    }),
    defineRoute({
      method: "POST",
      path: "/gateways/{id}/refresh",
      summary: "List an upstream again, now",
      access: "admin",
      handle: async ({ params, principal }) => {
        await refresher.refresh(await registry.upstream(params["id"] ?? ""));
        await snapshots.refresh();
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
      handle: async ({ params, principal }) => {
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
