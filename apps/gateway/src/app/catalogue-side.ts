import { createNotificationHub, type NotificationHub } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamMessage } from "@gatewright/mcp-bridge/upstream";
import type { RetryLayer } from "../calls/retry-layer.ts";
import type { OpenChannels } from "../channels/open-channels.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { GatewayError } from "../errors.ts";
import { Aggregates } from "../mcp/aggregates.ts";
import { readSource } from "../mcp/change-source.ts";
import { createListCall } from "../mcp/list-upstream.ts";
import { Listening } from "../mcp/listening.ts";
import type { UpstreamAccesses } from "../mcp/upstream-access.ts";
import type { Snapshot, SnapshotHolder } from "../registry/snapshot.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { gatewayContext } from "../upstreams/session-context.ts";
import type { UpstreamSide } from "./upstream-side.ts";

/** What the catalogue is put together with. */
export interface CatalogueSideDeps {
  readonly secret: GatewaySecret;
  readonly snapshots: SnapshotHolder;
  /** What is served, empty before the registry was read. */
  readonly snapshot: () => Snapshot;
  readonly upstreams: UpstreamSide;
  readonly accesses: UpstreamAccesses;
  readonly retries: RetryLayer;
  /** Streams that are open for clients. */
  readonly channels: OpenChannels;
  /** Takes what an upstream says on its own. */
  readonly hear: (upstreamId: string, message: UpstreamMessage) => void;
}

/** What upstreams offer, as clients see it, and who hears of its changes. */
export interface CatalogueSide {
  readonly aggregates: Aggregates;
  /** Change notifications: one stream per upstream, and per user with own credentials there; any number of listeners. */
  readonly hub: NotificationHub;
  readonly listening: Listening;
}

/** Puts lists and their changes together. */
export function createCatalogueSide(config: GatewayConfig, deps: CatalogueSideDeps): CatalogueSide {
  const { secret, snapshots, snapshot, accesses, retries, channels, hear } = deps;
  const { live, pool, listing } = deps.upstreams;
  const { bridge } = config;
  const aggregates = new Aggregates({
    snapshot,
    call: createListCall({ ...listing, snapshot, pool, accesses, retries }),
    secrets: secret.accepted("cursor"),
    separator: bridge.separator,
    maxNameLength: bridge.maxNameLength,
    listDeadlineMs: bridge.listTimeoutMs,
    freshMs: bridge.listFreshMs,
    failureHoldMs: bridge.listFailureHoldMs,
    maxItems: config.limits.itemsPerUpstream,
  });
  snapshots.onSnapshot((current) => aggregates.follow(current));
  const hub = createNotificationHub({
    open: async (key, listening) => {
      const { upstreamId, user } = readSource(key);
      const record = snapshot().upstreams.get(upstreamId);
      if (record === undefined) throw new GatewayError("not_found", `there is no gateway "${upstreamId}"`);
      return live.open(record, "auto", { ...gatewayContext, ...listening }, user);
    },
    maxListeners: bridge.maxListeners,
  });
  const listening = new Listening({
    hub,
    snapshot,
    channels,
    hear,
    expose: (target, upstreamId, message) =>
      target.kind === "plain" ? message : aggregates.of(target).exposeNotification(upstreamId, message),
  });
  return { aggregates, hub, listening };
}
