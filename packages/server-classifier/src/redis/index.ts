export type { RedisClient, RedisSubscriber } from "./redis-client.ts";
export { createRedisClassifierStore, type RedisClassifierStoreOptions } from "./redis-store.ts";
