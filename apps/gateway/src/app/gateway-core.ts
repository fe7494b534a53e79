import { createNotificationHub, type NotificationHub } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamMessage } from "@gatewright/mcp-bridge/upstream";
import type { PluginPipeline } from "@gatewright/plugin-framework";
import type { Logger } from "pino";
import type { Authenticator } from "../auth/authenticator.ts";
import { createLiveAuthenticator } from "../auth/live-authenticator.ts";
import { OpenChannels } from "../channels/open-channels.ts";
import { usesPostgres } from "../config/db-resilience.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { isLoopbackHost } from "../config/load-config.ts";
import { redisPlace } from "../config/redis.ts";
import { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import { GatewayError } from "../errors.ts";
import type { AggregateDeps } from "../mcp/aggregate-endpoint.ts";
import { Aggregates } from "../mcp/aggregates.ts";
import { createListCall } from "../mcp/list-upstream.ts";
import { Listening } from "../mcp/listening.ts";
import { UpstreamAccesses } from "../mcp/upstream-access.ts";
import { Metrics } from "../metrics/metrics.ts";
import { createPluginControl, type PluginControl } from "../plugins/plugin-control.ts";
import { isListChange } from "../polling/announced.ts";
import { createPolling, type Polling } from "../polling/polling.ts";
import { openRedis, type RedisConnections } from "../redis/redis-connections.ts";
import { openRegistry } from "../registry/open-registry.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import { Snapshot, SnapshotHolder } from "../registry/snapshot.ts";
import { LiveConfig } from "../reload/live-config.ts";
import type { Replicas } from "../replicas/replicas.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { createTracing } from "../tracing/create-tracing.ts";
import { hopIdOf } from "../upstreams/hop.ts";
import { type ConnectionEra, LiveUpstreams } from "../upstreams/live-upstreams.ts";
import { openOwnSession } from "../upstreams/own-session.ts";
import type { Refresher } from "../upstreams/refresher.ts";
import type { RegisterDeps } from "../upstreams/register-upstream.ts";
import { gatewayContext } from "../upstreams/session-context.ts";

import { SessionLimits } from "../upstreams/session-limits.ts";
import { connectUpstream, wireBridge } from "../wiring/mcp-bridge.ts";

import { type PipelineWiring, wirePipeline } from "../wiring/plugin-framework.ts";
import { wireRateLimiter } from "../wiring/rate-limiter.ts";
import { wireReplicas } from "../wiring/replicas.ts";
import { wireRetry } from "../wiring/retry-backoff.ts";
import { wireClassifierStore } from "../wiring/server-classifier.ts";
import { type UpstreamPool, wireSessionKeys, wireSessionPool } from "../wiring/session-pool.ts";
import type { WorkerLink } from "../workers/worker-link.ts";
import { syncConfiguredUpstreams } from "./configured-upstreams.ts";
import { RegistryStart } from "./registry-start.ts";

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
  readonly lifecycle: { draining: boolean };
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

/** Puts the packages together. Nothing listens yet. */
export async function createGatewayCore(config: GatewayConfig, deps: CoreDeps): Promise<GatewayCore> {
  const { secret, logger, worker } = deps;
  const metrics = new Metrics({ processMetrics: config.observability.processMetrics });
  const place = redisPlace(config.redis);
  const redis = place && (await openRedis(place, config.redis, logger));
  const registry = await openRegistry(config, { secret, redis, metrics, logger, worker }).catch((error) => {
    redis?.close();
    throw error;
  });
  const start = new RegistryStart({ registry, patient: usesPostgres(config.database), logger });
  const prepared = await start.prepare();
  const snapshots = new SnapshotHolder(registry, (error) =>
    logger.warn({ err: error }, "registry not readable"),
  );
  const snapshot = () => snapshots.current ?? empty;
  const allowPrivate = config.server.ssrf.allowPrivate ?? isLoopbackHost(config.server.host);

  const hopId = hopIdOf(secret);
  const listing = {
    listTimeoutMs: config.bridge.listTimeoutMs,
    maxItems: config.limits.itemsPerUpstream,
    hopId,
  };
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
  const limits = new SessionLimits((id) => pool.refreshLimits(id));
  const pool: UpstreamPool = wireSessionPool({
    config,
    upstreams: () => live,
    record: (id) => snapshot().upstreams.get(id),
    reread: () => snapshots.refresh().catch((error) => logger.warn({ err: error }, "registry not readable")),
    hear: (upstreamId, message) => hear(upstreamId, message),
    observer: metrics.pool.observer,
  });
  metrics.pool.isKnown = (id) => snapshots.current?.upstreams.has(id) !== false;
  for (const gauge of metrics.pool.gauges(() => pool.stats())) metrics.add(gauge);
  const control = await createPluginControl(redis, registry.plugins, logger, prepared, worker);
  const { definition: retry, layer: retries } = wireRetry(config, {
    redis,
    metrics: metrics.retry,
    circuitOpen: (serverId) => metrics.pool.isOpen(serverId),
    enabled: (tenantId) =>
      pipeline.explainMode("retry", tenantId === undefined ? {} : { tenantId }).mode !== "disabled",
    onWarning: (warning) => logger.warn({ warning }, "a retry policy was clamped"),
  });
  const plugins: PipelineWiring = await wirePipeline(
    config,
    {
      rate_limiter: wireRateLimiter({
        redis,
        replicas: () => control.board.count,
        observer: metrics.limiter.observer,
        workers: worker?.count,
      }),
      retry,
    },
    { ...control.deps, observer: { ...metrics.plugins.observer, ...control.observer } },
  ).catch((error) => {
    redis?.close();
    throw error;
  });
  const pipeline: PluginPipeline = plugins.pipeline;
  await control.start(pipeline);

  const accesses = new UpstreamAccesses(
    wireSessionKeys(secret.key("identity")),
    {
      offer: (session, message) => bridge.offer(session, message),
    },
    (session, upstreamId, message) => listening.show(session, upstreamId, message),
  );
  const aggregates = new Aggregates({
    snapshot,
    call: createListCall({ ...listing, snapshot, pool, accesses, retries }),
    secrets: secret.accepted("cursor"),
    separator: config.bridge.separator,
    maxNameLength: config.bridge.maxNameLength,
    listDeadlineMs: config.bridge.listTimeoutMs,
    freshMs: config.bridge.listFreshMs,
    failureHoldMs: config.bridge.listFailureHoldMs,
    maxItems: config.limits.itemsPerUpstream,
  });
  snapshots.onSnapshot((current) => aggregates.follow(current));
  const hear = (upstreamId: string, message: UpstreamMessage) => {
    if (isListChange(message)) aggregates.outdate(upstreamId);
    polling.hear(upstreamId, message);
  };
  const hub = createNotificationHub({
    open: async (id, listening) => {
      const record = snapshot().upstreams.get(id);
      if (record === undefined) throw new GatewayError("not_found", `there is no gateway "${id}"`);
      return live.open(record, "auto", { ...gatewayContext, ...listening });
    },
    maxListeners: config.bridge.maxListeners,
  });
  const channels = new OpenChannels({
    get max() {
      return liveConfig.current.limits.streams;
    },
    get maxPerPrincipal() {
      return liveConfig.current.limits.streamsPerUser;
    },
  });
  const listening = new Listening({
    hub,
    snapshot,
    channels,
    hear,
    expose: (target, upstreamId, message) =>
      target.kind === "plain" ? message : aggregates.of(target).exposeNotification(upstreamId, message),
  });
  const sessions = new DownstreamSessions({
    get maxSessions() {
      return liveConfig.current.limits.downstreamSessions;
    },
    idleMs: config.limits.downstreamIdleMs,
    maxBufferedBytes: config.limits.streamBufferBytes,
    log: { maxEvents: config.limits.eventLogEvents, maxBytes: config.limits.eventLogBytes },
    keepAliveMs: config.limits.streamKeepAliveMs,
    maxLogBytes: config.limits.eventLogTotalBytes,
    onEnd: (session, how) => {
      if (how === "ended") replicas.ended(session);
      for (const { downstream } of accesses.keysOf(session)) {
        if (downstream !== undefined) {
          const handOver = how === "let_go";
          pool
            .endDownstream(
              downstream,
              handOver ? { handOver, deadlineMs: liveConfig.current.limits.callTimeoutMs } : {},
            )
            .catch((error) => logger.warn({ err: error }, "sessions not ended"));
        }
      }
    },
  });
  const replicas: Replicas = wireReplicas(config, {
    secret,
    redis,
    sessions,
    metrics: metrics.replicas,
    logger,
    worker,
    // Their streams are opened at once: an upstream may have something to say before the client calls it.
    onTakenOver: (session) => {
      try {
        listening.goOn(session);
      } catch (error) {
        logger.warn({ err: error }, "a session that was taken over is told of no changes");
      }
      for (const id of session.resumable.keys()) {
        const record = snapshot().upstreams.get(id);
        if (record === undefined) continue;
        const { key, context } = accesses.of({ principal: session.principal, session }, record);
        pool.warm(key, context);
      }
    },
    onUpstreamChanged: (id) => {
      snapshots.refresh().catch(async (error) => {
        logger.warn({ err: error }, "the change of an upstream could not be read");
        if (id !== undefined) await pool.drain({ serverId: id });
      });
    },
  });
  const bridge = wireBridge(config.bridge, secret, replicas.selfId);
  metrics.add({
    name: "gatewright_client_sessions",
    help: "Sessions of legacy clients.",
    type: "gauge",
    samples: () => [{ value: sessions.size, labels: {} }],
  });
  metrics.add({
    name: "gatewright_client_streams",
    help: "Streams and sockets that are open for clients.",
    type: "gauge",
    samples: () => [...channels.counts()].map(([kind, value]) => ({ value, labels: { kind } })),
  });
  const polling: Polling = createPolling({
    config,
    registry,
    snapshots,
    pool,
    listing,
    store: redis === undefined ? worker?.classifierStore() : wireClassifierStore(redis),
    polls: redis !== undefined || worker === undefined || worker.index === 1,
    withSession: (record, use) => openOwnSession({ live, pool, accesses, retries }, record, use),
    hub,
    metrics,
    logger,
  });
  const { refresher } = polling;
  let leave = async () => {};
  const followServers = async (servers: GatewayConfig["mcpServers"]) => {
    const enabled = Object.entries(servers).filter(([, entry]) => entry.disabled !== true);
    const said = await registry.running.announce(enabled.map(([name]) => name));
    await leave();
    leave = said;
    await syncConfiguredUpstreams(registry, servers, (upstream) =>
      logger.warn({ upstream }, "not in this configuration, but in that of another gateway on this registry"),
    );
  };
  const authenticator = await createLiveAuthenticator(config.auth, secret);
  const liveConfig: LiveConfig = new LiveConfig(config, {
    logger,
    followers: [
      (next) => authenticator.prepare(next.auth),
      async (next) => {
        await plugins.reload(next);
        return () => {
          logger.level = next.observability.logLevel;
        };
      },
    ],
    followServers: async (servers) => {
      await followServers(servers);
      await snapshots.catchUp();
    },
  });
  await start.begin([
    () => followServers(liveConfig.current.mcpServers),
    () => control.restore(),
    () => snapshots.refresh(),
  ]);
  snapshots.onSnapshot((current) => {
    live.follow(current);
    limits.follow(current);
    listening.follow(current);
  });

  return {
    get config() {
      return liveConfig.current;
    },
    liveConfig,
    secret,
    logger,
    registry,
    snapshots,
    authenticator,
    pipeline,
    control,
    redis,
    pool,
    live,
    sessions,
    hub,
    channels,
    replicas,
    refresher,
    polling,
    metrics,
    allowPrivate,
    registering: { registry, allowPrivate, connect, listing },
    lifecycle: { draining: false },
    calls: {
      pipeline,
      pool,
      metrics: metrics.retry,
      retries,
      accesses,
      bridge,
      listening,
      questionTimeoutMs: config.bridge.parkedTtlMs,
      hopId,
      snapshot: () => snapshots.current ?? neverRead(),
      hear,
      attemptTimeoutMs: config.bridge.requestTimeoutMs,
      callTimeoutMs: config.limits.callTimeoutMs,
      maxRetries: config.retry.maxToolRetries,
      aggregates,
      tracing: await createTracing(),
      catalogueReady: () => refresher.ready(),
    },
    async close(deadlineMs) {
      start.stop();
      await polling.stop();
      retries.stop();
      listening.close();
      bridge.close();
      sessions.close();
      hub.close();
      await Promise.all([pool.close({ deadlineMs, handOver: redis !== undefined }), replicas.close()]);
      await Promise.all([live.close(), pipeline.close({ deadlineMs })]);
      await control.stop();
      await retries.close();
      redis?.close();
      await leave().catch((error) => logger.warn({ err: error }, "the end could not be written down"));
      await registry.close();
    },
  };
}

function neverRead(): never {
  throw new GatewayError(
    "db_unavailable",
    "The database is unavailable, and what this gateway serves was never read from it.",
    { retryAfterMs: 1_000 },
  );
}

const empty = new Snapshot({ upstreams: [], servers: [], items: [] });
