export { controlKey } from "./control-keys.ts";
export { createRedisBus, type RedisBusOptions } from "./create-redis-bus.ts";
export { ALL_LANES, LANES, laneOf } from "./lane.ts";
export type { RedisCommands, RedisSubscriber } from "./redis-client.ts";
