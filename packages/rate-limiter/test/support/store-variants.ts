import { createMemoryStore, type LimiterStore } from "@gatewright/rate-limiter";
import { startRedis, startRedisCluster, startRedisSentinel } from "@gatewright/testkit";
import type { RedisClient } from "../../src/redis/redis-client.ts";
import { RedisStore } from "../../src/redis/redis-store.ts";

/** A clock that tests set. */
export interface TestClock {
  time: number;
  now(): number;
}

export interface Backend {
  store(prefix: string, clock: TestClock): LimiterStore;
  close(): Promise<void>;
}

/** Every kind of store, started on demand; Redis stores take their time from the test's clock. */
export const BACKENDS: Readonly<Record<string, () => Promise<Backend>>> = {
  memory: async () => ({
    store: (_prefix, clock) => createMemoryStore({}, { clock }),
    close: async () => {},
  }),
  redis: async () => {
    const server = await startRedis();
    return { store: redisStores(server.client()), close: () => server.close() };
  },
  "redis, rules as arguments": async () => {
    const server = await startRedis();
    return { store: redisStores(server.client(), 0), close: () => server.close() };
  },
  "redis sentinel": async () => {
    const sentinel = await startRedisSentinel();
    return { store: redisStores(sentinel.client()), close: () => sentinel.close() };
  },
  "redis cluster": async () => {
    const cluster = await startRedisCluster();
    return { store: redisStores(cluster.client()), close: () => cluster.close() };
  },
};

function redisStores(client: RedisClient, mostBakedScripts?: number): Backend["store"] {
  return (prefix, clock) => {
    const source = { source: "argument", now: () => clock.time } as const;
    return new RedisStore({ client, prefix }, source, mostBakedScripts);
  };
}
