export { createRedisBudget, type RedisBudget, type RedisBudgetOptions } from "./redis-budget.ts";
export type { RedisClient } from "./redis-client.ts";
