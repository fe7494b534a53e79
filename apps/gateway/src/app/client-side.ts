import type { Bridge } from "@gatewright/mcp-bridge/bridge";
import type { Logger } from "pino";
import { OpenChannels } from "../channels/open-channels.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import type { ShowNotification } from "../mcp/client-contexts.ts";
import { UpstreamAccesses } from "../mcp/upstream-access.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import type { SnapshotHolder } from "../registry/snapshot.ts";
import type { Replicas } from "../replicas/replicas.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { wireBridge } from "../wiring/mcp-bridge.ts";
import { wireReplicas } from "../wiring/replicas.ts";
import { type UpstreamPool, wireSessionKeys } from "../wiring/session-pool.ts";
import type { WorkerLink } from "../workers/worker-link.ts";

/** What the clients' side is put together with. */
export interface ClientSideDeps {
  readonly secret: GatewaySecret;
  readonly redis: RedisConnections | undefined;
  readonly snapshots: SnapshotHolder;
  readonly pool: UpstreamPool;
  /** The limits in force now. */
  readonly limitsNow: () => GatewayConfig["limits"];
  readonly show: ShowNotification;
  /** Has a session that was taken over told of the changes that its client listened for. */
  readonly goOn: (session: DownstreamSession) => void;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly worker: WorkerLink | undefined;
}

/** What clients hold: sessions, here or at another replica, streams and sockets, and their keys to upstreams. */
export interface ClientSide {
  readonly sessions: DownstreamSessions;
  readonly replicas: Replicas;
  readonly bridge: Bridge;
  readonly accesses: UpstreamAccesses;
  readonly channels: OpenChannels;
}

/** Puts the clients' side together, with its gauges. */
export async function createClientSide(config: GatewayConfig, deps: ClientSideDeps): Promise<ClientSide> {
  const { secret, redis, snapshots, pool, limitsNow, show, goOn, metrics, logger, worker } = deps;
  const { limits } = config;
  const accesses: UpstreamAccesses = new UpstreamAccesses(
    wireSessionKeys(secret.key("identity")),
    { offer: (session, message) => bridge.offer(session, message) },
    show,
  );
  const sessions = new DownstreamSessions({
    get maxSessions() {
      return limitsNow().downstreamSessions;
    },
    get maxPerPrincipal() {
      // Without authentication there is one user, whose sessions are all.
      if (!config.auth.required) return Number.POSITIVE_INFINITY;
      const { downstreamSessions, downstreamSessionsPerUser } = limitsNow();
      return downstreamSessionsPerUser ?? Math.ceil(downstreamSessions / 10);
    },
    idleMs: limits.downstreamIdleMs,
    maxBufferedBytes: limits.streamBufferBytes,
    log: { maxEvents: limits.eventLogEvents, maxBytes: limits.eventLogBytes },
    keepAliveMs: limits.streamKeepAliveMs,
    maxLogBytes: limits.eventLogTotalBytes,
    // What a client holds open, or asks of the gateway alone, keeps its upstream sessions too.
    onAlive: (session) => {
      for (const { downstream } of accesses.keysOf(session)) {
        if (downstream !== undefined) pool.touchDownstream(downstream);
      }
    },
    onEnd: (session, how) => {
      if (how === "ended") replicas.ended(session);
      for (const { downstream } of accesses.keysOf(session)) {
        if (downstream !== undefined) {
          const handOver = how === "let_go";
          pool
            .endDownstream(downstream, handOver ? { handOver, deadlineMs: limitsNow().callTimeoutMs } : {})
            .catch((error) => logger.warn({ err: error }, "sessions not ended"));
        }
      }
    },
  });
  const replicas: Replicas = await wireReplicas(config, {
    secret,
    redis,
    sessions,
    metrics: metrics.replicas,
    logger,
    worker,
    // Their streams are opened at once: an upstream may have something to say before the client calls it.
    onTakenOver: (session) => {
      try {
        goOn(session);
      } catch (error) {
        logger.warn({ err: error }, "a session that was taken over is not told of all changes yet");
      }
      for (const id of session.resumable.keys()) {
        const record = snapshots.current?.upstreams.get(id);
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
  const channels = new OpenChannels({
    get max() {
      return limitsNow().streams;
    },
    get maxPerPrincipal() {
      return limitsNow().streamsPerUser;
    },
  });
  addGauges(metrics, sessions, channels);
  return { sessions, replicas, bridge, accesses, channels };
}

function addGauges(metrics: Metrics, sessions: DownstreamSessions, channels: OpenChannels): void {
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
}
