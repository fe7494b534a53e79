import type { Clock } from "@gatewright/session-pool";
import {
  createRedisOwnership,
  type EvictionNotice,
  type RedisOwnership,
} from "@gatewright/session-pool/redis";
import type { RedisServer } from "@gatewright/testkit";

export const sealKey = Buffer.alloc(32, 7);
export const signKey = Buffer.alloc(32, 9);

/** Times short enough for tests; the proportions are those of the defaults. */
export const quick = {
  heartbeatMs: 100,
  deadAfterMs: 500,
  sessionTtlMs: 60_000,
  pollMs: 50,
  locationCacheMs: 0,
};

/** One replica's ownership with what it was told. */
export interface Replica {
  readonly ownership: RedisOwnership;
  readonly evicted: EvictionNotice[];
  readonly lost: string[];
}

/** Starts a replica on a real Redis. */
export async function startReplica(
  redis: RedisServer,
  options: Partial<Parameters<typeof createRedisOwnership>[0]> = {},
  parts: { subscribe?: boolean; instanceId?: string; listen?: boolean; clock?: Clock } = {},
): Promise<Replica> {
  const evicted: EvictionNotice[] = [];
  const lost: string[] = [];
  const client = redis.client({ enableOfflineQueue: true, commandTimeout: 1000 });
  const ownership = createRedisOwnership(
    { advertiseUrl: "http://127.0.0.1:1", sealKeys: [sealKey], signKeys: [signKey], ...quick, ...options },
    {
      redis: client,
      ...(parts.subscribe === false ? {} : { subscriber: redis.client({ enableOfflineQueue: true }) }),
      ...(parts.instanceId === undefined ? {} : { instanceId: parts.instanceId }),
      ...(parts.clock === undefined ? {} : { clock: parts.clock }),
      onEvict: (notice) => evicted.push(notice),
      onOwnershipLost: (sessionId) => lost.push(sessionId),
    },
  );
  if (parts.listen !== false) await ownership.start();
  return { ownership, evicted, lost };
}
