import type { UpstreamMessage } from "@gatewright/mcp-bridge/upstream";
import { createLiveAuthenticator } from "../auth/live-authenticator.ts";
import { usesPostgres } from "../config/db-resilience.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { redisPlace } from "../config/redis.ts";
import { GatewayError } from "../errors.ts";
import { Metrics } from "../metrics/metrics.ts";
import { isListChange } from "../polling/announced.ts";
import { createPolling, type Polling } from "../polling/polling.ts";
import { openRedis } from "../redis/redis-connections.ts";
import { openRegistry } from "../registry/open-registry.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import { Snapshot, SnapshotHolder } from "../registry/snapshot.ts";
import { LiveConfig } from "../reload/live-config.ts";
import { createTracing } from "../tracing/create-tracing.ts";
import { BackAgain } from "../upstreams/back-again.ts";
import { hopIdOf } from "../upstreams/hop.ts";
import { openOwnSession } from "../upstreams/own-session.ts";
import { wireClassifierStore } from "../wiring/server-classifier.ts";
import { createCatalogueSide } from "./catalogue-side.ts";
import { createClientSide } from "./client-side.ts";
import { syncConfiguredUpstreams } from "./configured-upstreams.ts";
import type { CoreDeps, GatewayCore } from "./gateway-core.ts";
import { createPluginSide } from "./plugin-side.ts";
import { RegistryStart } from "./registry-start.ts";
import { createUpstreamSide } from "./upstream-side.ts";

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
  const hopId = hopIdOf(secret);
  const hear = (upstreamId: string, message: UpstreamMessage) => {
    if (isListChange(message)) aggregates.outdate(upstreamId);
    polling.hear(upstreamId, message);
  };
  const relist = (record: UpstreamRecord) => polling.refresher.refresh(record);
  const upstreams = createUpstreamSide(config, { hopId, snapshots, hear, relist, metrics, logger });
  const { live, pool, limits, listing, allowPrivate, connect } = upstreams;
  const { control, retries, pipeline, reload } = await createPluginSide(config, {
    redis,
    registry,
    prepared,
    metrics,
    logger,
    worker,
  }).catch((error) => {
    redis?.close();
    throw error;
  });
  const { sessions, replicas, bridge, accesses, channels } = await createClientSide(config, {
    secret,
    redis,
    snapshots,
    pool,
    limitsNow: () => liveConfig.current.limits,
    show: (session, upstreamId, message) => listening.show(session, upstreamId, message),
    goOn: (session) => listening.goOn(session),
    metrics,
    logger,
    worker,
  });
  const { aggregates, hub, listening } = createCatalogueSide(config, {
    secret,
    snapshots,
    snapshot,
    upstreams,
    accesses,
    retries,
    channels,
    hear,
  });
  const polling: Polling = createPolling({
    config,
    registry,
    snapshots,
    pool,
    listing,
    store: redis === undefined ? worker?.classifierStore() : await wireClassifierStore(redis),
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
        await reload(next);
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
  const backAgain = new BackAgain(pool);
  const stopping = new AbortController();
  snapshots.onSnapshot((current) => {
    live.follow(current);
    backAgain.follow(current);
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
    registering: { registry, allowPrivate, connect, listing, signal: stopping.signal },
    lifecycle: { draining: false, stopping },
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
      onFault: (error) =>
        logger.error({ err: error }, "an attempt of a call failed by a fault of the gateway"),
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
