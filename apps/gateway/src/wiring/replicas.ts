import { networkInterfaces } from "node:os";
import type { Logger } from "pino";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import type { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import type { ReplicaMetrics } from "../metrics/replica-metrics.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import type { Replicas } from "../replicas/replicas.ts";
import { createSoleReplica } from "../replicas/sole-replica.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
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
 * replica that there is, which needs nothing of what several do.
 */
export async function wireReplicas(config: GatewayConfig, wiring: ReplicasWiring): Promise<Replicas> {
  const { redis, worker, secret } = wiring;
  const shared = () => import("./shared-replicas.ts");
  if (redis !== undefined) {
    const { ownByRedis, wireSharedReplicas } = await shared();
    return wireSharedReplicas(config, wiring, ownByRedis(config, secret, redis));
  }
  if (worker !== undefined) {
    const { ownByIpc, wireSharedReplicas } = await shared();
    return wireSharedReplicas(config, wiring, ownByIpc(config, secret, worker));
  }
  return createSoleReplica();
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
