import type { NotificationHub } from "@gatewright/mcp-bridge/bridge";
import type { PluginPipeline } from "@gatewright/plugin-framework";
import type { Logger } from "pino";
import type { Authenticator } from "../auth/authenticator.ts";
import type { OpenChannels } from "../channels/open-channels.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import type { AggregateDeps } from "../mcp/aggregate-endpoint.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { PluginControl } from "../plugins/plugin-control.ts";
import type { Polling } from "../polling/polling.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import type { Registry } from "../registry/registry.ts";
import type { SnapshotHolder } from "../registry/snapshot.ts";
import type { LiveConfig } from "../reload/live-config.ts";
import type { Replicas } from "../replicas/replicas.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import type { LiveUpstreams } from "../upstreams/live-upstreams.ts";
import type { Refresher } from "../upstreams/refresher.ts";
import type { RegisterDeps } from "../upstreams/register-upstream.ts";
import type { UpstreamPool } from "../wiring/session-pool.ts";
import type { WorkerLink } from "../workers/worker-link.ts";

/** Everything behind the HTTP surface. */
export interface GatewayCore {
  /** What is in force now. */
  readonly config: GatewayConfig;
  /** The way from one configuration to the next. */
  readonly liveConfig: LiveConfig;
  readonly secret: GatewaySecret;
  readonly logger: Logger;
  readonly registry: Registry;
  readonly snapshots: SnapshotHolder;
  readonly authenticator: Authenticator;
  readonly pipeline: PluginPipeline;
  /** The live switch of plugin modes. */
  readonly control: PluginControl;
  /** Connections to Redis, where it is configured. */
  readonly redis: RedisConnections | undefined;
  readonly pool: UpstreamPool;
  readonly live: LiveUpstreams;
  readonly sessions: DownstreamSessions;
  /** Change notifications: one stream per upstream, any number of listeners. */
  readonly hub: NotificationHub;
  /** Streams and sockets that are open. */
  readonly channels: OpenChannels;
  /** Where the sessions of clients live. */
  readonly replicas: Replicas;
  readonly refresher: Refresher;
  readonly polling: Polling;
  readonly metrics: Metrics;
  /** What the MCP endpoints work with. */
  readonly calls: AggregateDeps;
  /** Whether upstreams may live on private addresses. */
  readonly allowPrivate: boolean;
  /** What registering an upstream works with. */
  readonly registering: RegisterDeps;
  /** `draining` makes /ready say 503. */
  /** Whether it is stopping; what need not end first is aborted then. */
  readonly lifecycle: { draining: boolean; readonly stopping: AbortController };
  /** Ends sessions, plugins, connections and children, and closes the registry. */
  close(deadlineMs: number): Promise<void>;
}

/** What the core is made of beside its configuration. */
export interface CoreDeps {
  readonly secret: GatewaySecret;
  readonly logger: Logger;
  /** This process as one of several workers of a primary. */
  readonly worker?: WorkerLink | undefined;
}
