import { networkInterfaces } from "node:os";
import { createRedisOwnership } from "@gatewright/session-pool/redis";
import type { Logger } from "pino";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import type { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import type { ReplicaMetrics } from "../metrics/replica-metrics.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import { RedisReplicas, type RedisReplicasOptions } from "../replicas/redis-replicas.ts";
import type { Replicas } from "../replicas/replicas.ts";
import { createSoleReplica } from "../replicas/sole-replica.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { createIpcOwnership } from "../workers/ipc-ownership.ts";
import type { WorkerLink } from "../workers/worker-link.ts";

/** What ownership of sessions is wired with. */
export interface ReplicasWiring {
  readonly secret: GatewaySecret;
  readonly redis: RedisConnections | undefined;
  readonly sessions: DownstreamSessions;
  readonly metrics: ReplicaMetrics;
  readonly logger: Logger;
  /** Told of a session that was taken over from another replica. */
  readonly onTakenOver: (session: DownstreamSession) => void;
  /** Told that an upstream may be reached in another way now; without an id, that any may. */
  readonly onUpstreamChanged: (upstreamId: string | undefined) => void;
  /** This process as one of several workers. */
  readonly worker?: WorkerLink | undefined;
}

/**
 * Ownership of sessions across replicas that share a Redis, or without it among the workers of one primary; or the one
 * replica that there is.
 */
export function wireReplicas(config: GatewayConfig, wiring: ReplicasWiring): Replicas {
  const { redis, worker, sessions, metrics, logger } = wiring;
  const owning =
    redis === undefined ? worker && ownByIpc(config, wiring, worker) : ownByRedis(config, wiring, redis);
  if (owning === undefined) return createSoleReplica();
  const { connectTimeoutMs, silenceMs } = config.sessions.owners;
  return new RedisReplicas({
    own: (replica, told) => {
      const ownership = owning(replica, told);
      metrics.watch(() => ownership.stats());
      return ownership;
    },
    sessions,
    onTakenOver: wiring.onTakenOver,
    onUpstreamChanged: wiring.onUpstreamChanged,
    connectTimeoutMs,
    silenceMs,
    streamSilenceMs: 3 * config.limits.streamKeepAliveMs,
    callTimeoutMs: config.limits.callTimeoutMs,
    bodyBytes: config.limits.bodyBytes,
    onForward: (outcome) => metrics.forwarded(outcome),
    onError: (error, what) => logger.warn({ err: error }, what),
  });
}

type Own = RedisReplicasOptions["own"];

function ownByRedis(
  config: GatewayConfig,
  { secret }: ReplicasWiring,
  { commands, subscriber, prefix }: RedisConnections,
): Own {
  const { heartbeatMs, deadAfterMs } = config.sessions.owners;
  return ({ instanceId, advertiseUrl }, told) =>
    createRedisOwnership(
      {
        advertiseUrl,
        sealKeys: secret.accepted("credential"),
        signKeys: secret.accepted("forward"),
        prefix,
        heartbeatMs,
        deadAfterMs,
        sessionTtlMs: Math.max(config.limits.downstreamIdleMs, deadAfterMs),
        maxOwned: config.limits.downstreamSessions,
      },
      { redis: commands, subscriber, instanceId, ...told },
    );
}

function ownByIpc(config: GatewayConfig, { secret }: ReplicasWiring, { primary }: WorkerLink): Own {
  const signKeys = secret.accepted("forward");
  const maxOwned = config.limits.downstreamSessions;
  return (replica, { onEvict }) =>
    createIpcOwnership({ link: primary, ...replica, signKeys, maxOwned, onEvict });
}

/** The URL under which other replicas reach this one: as configured, else the address that it listens on. */
export function replicaUrlOf(server: GatewayConfig["server"], port: number): string {
  const given = server.replicaUrl ?? server.advertiseUrl;
  if (given !== undefined) return given;
  const everywhere = server.host === "0.0.0.0" || server.host === "::";
  const host = everywhere ? (ownAddress() ?? "127.0.0.1") : server.host;
  return `http://${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
}

function ownAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ internal, family }) => !internal && family === "IPv4")?.address;
}
