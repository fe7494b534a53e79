export { laneOf } from "./lane.ts";
export type { RedisClient, RedisNode } from "./redis-client.ts";
export { createRedisStore, type RedisStore, type RedisStoreOptions } from "./redis-store.ts";
