import { createRedisOwnership } from "@gatewright/session-pool/redis";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import { RedisReplicas, type RedisReplicasOptions } from "../replicas/redis-replicas.ts";
import type { Replicas } from "../replicas/replicas.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { createIpcOwnership } from "../workers/ipc-ownership.ts";
import type { WorkerLink } from "../workers/worker-link.ts";
import type { ReplicasWiring } from "./replicas.ts";

/** How a replica owns sessions among others. */
export type OwnSessions = RedisReplicasOptions["own"];

/** The sessions of one of several replicas, and the way to those of the others. */
export function wireSharedReplicas(
  config: GatewayConfig,
  wiring: ReplicasWiring,
  ownSessions: OwnSessions,
): Replicas {
  const { sessions, metrics, logger } = wiring;
  const { connectTimeoutMs, silenceMs } = config.sessions.owners;
  return new RedisReplicas({
    own: (replica, told) => {
      const ownership = ownSessions(replica, told);
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

/** Ownership in the Redis that the replicas share. */
export function ownByRedis(
  config: GatewayConfig,
  secret: GatewaySecret,
  { commands, subscriber, prefix }: RedisConnections,
): OwnSessions {
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

/** Ownership among the workers of one primary, which knows them all. */
export function ownByIpc(config: GatewayConfig, secret: GatewaySecret, { primary }: WorkerLink): OwnSessions {
  const signKeys = secret.accepted("forward");
  const maxOwned = config.limits.downstreamSessions;
  return (replica, { onEvict }) =>
    createIpcOwnership({ link: primary, ...replica, signKeys, maxOwned, onEvict });
}
