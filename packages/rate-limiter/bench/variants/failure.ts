import { createRateLimiter } from "@gatewright/rate-limiter";
import { createRedisStore } from "@gatewright/rate-limiter/redis";
import { eventually, startRedis } from "@gatewright/testkit";

/** Redis dead or hung: milliseconds to the first decision, and once the breaker is open. */
const results: Record<string, { first: number; open: number }> = {};
for (const fault of ["dead", "hung"] as const) {
  const redis = await startRedis();
  const client = redis.client({ enableOfflineQueue: false });
  await eventually(() => client.status === "ready");
  const limiter = createRateLimiter({ rules: { by_user: "100/m" } }, { store: createRedisStore({ client }) });
  for (let i = 0; i < 100; i++) await limiter.check({ user: "ann" });
  if (fault === "hung") redis.pause();
  else await redis.kill();
  const started = performance.now();
  await limiter.check({ user: "ann" });
  const first = performance.now() - started;
  while (limiter.stats().breaker !== "open") await limiter.check({ user: "ann" });
  const opened: number[] = [];
  for (let i = 0; i < 1_000 && limiter.stats().breaker === "open"; i++) {
    const before = performance.now();
    await limiter.check({ user: "ann" });
    opened.push(performance.now() - before);
  }
  opened.sort((a, b) => a - b);
  results[fault] = { first, open: opened[Math.floor(opened.length * 0.99)]! };
  await redis.close();
}
process.send?.(results);
console.table(results);
process.exit();
