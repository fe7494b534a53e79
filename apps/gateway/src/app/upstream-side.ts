import type { UpstreamMessage } from "@gatewright/mcp-bridge/upstream";
import type { Logger } from "pino";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { isLoopbackHost } from "../config/load-config.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { SnapshotHolder } from "../registry/snapshot.ts";
import type { ListingRules } from "../upstreams/discover.ts";
import { type ConnectionEra, LiveUpstreams } from "../upstreams/live-upstreams.ts";
import type { RegisterDeps } from "../upstreams/register-upstream.ts";
import { SessionLimits } from "../upstreams/session-limits.ts";
import { connectUpstream } from "../wiring/mcp-bridge.ts";
import { type UpstreamPool, wireSessionPool } from "../wiring/session-pool.ts";

/** What connections to upstreams are put together with. */
export interface UpstreamSideDeps {
  /** The gateway's own name among deployments. */
  readonly hopId: string;
  readonly snapshots: SnapshotHolder;
  /** Takes what an upstream says on its own. */
  readonly hear: (upstreamId: string, message: UpstreamMessage) => void;
  /** Lists an upstream and keeps what is found. */
  readonly relist: (record: UpstreamRecord) => Promise<void>;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** How upstreams are reached: connections, and the pool of sessions over them. */
export interface UpstreamSide {
  readonly live: LiveUpstreams;
  readonly pool: UpstreamPool;
  readonly limits: SessionLimits;
  /** What one listing may take. */
  readonly listing: ListingRules;
  /** Whether upstreams may live on private addresses. */
  readonly allowPrivate: boolean;
  /** Makes a connection that is used once. */
  readonly connect: RegisterDeps["connect"];
}

/** Puts connections and pool together, with the pool's metrics. */
export function createUpstreamSide(config: GatewayConfig, deps: UpstreamSideDeps): UpstreamSide {
  const { hopId, snapshots, hear, relist, metrics, logger } = deps;
  const allowPrivate = config.server.ssrf.allowPrivate ?? isLoopbackHost(config.server.host);
  const connect = (record: UpstreamRecord, era: ConnectionEra = "auto") =>
    connectUpstream(record, era, {
      bridge: config.bridge,
      hopId,
      allowPrivate,
      onStderr: (upstream, line) => logger.debug({ upstream: upstream.name, line }, "stderr of an upstream"),
    });
  const live: LiveUpstreams = new LiveUpstreams(connect, async (id) => {
    await pool.drain({ serverId: id });
  });
  const pool: UpstreamPool = wireSessionPool({
    config,
    upstreams: () => live,
    record: (id) => snapshots.current?.upstreams.get(id),
    reread: () => snapshots.refresh().catch((error) => logger.warn({ err: error }, "registry not readable")),
    hear,
    relist: (record) => {
      relist(record).catch((error) => logger.warn({ err: error }, "an upstream could not be listed anew"));
    },
    observer: metrics.pool.observer,
  });
  metrics.pool.isKnown = (id) => snapshots.current?.upstreams.has(id) !== false;
  for (const gauge of metrics.pool.gauges(() => pool.stats())) metrics.add(gauge);
  return {
    live,
    pool,
    limits: new SessionLimits((id) => pool.refreshLimits(id)),
    listing: {
      listTimeoutMs: config.bridge.listTimeoutMs,
      maxItems: config.limits.itemsPerUpstream,
      hopId,
    },
    allowPrivate,
    connect,
  };
}
