import { createRateLimiter } from "@gatewright/rate-limiter";
import { createRedisStore } from "@gatewright/rate-limiter/redis";
import { eventually, startRedisSentinel } from "@gatewright/testkit";
import { expect, it } from "vitest";

it("RL-6 behind Sentinel a dead master degrades by policy, and its successor takes over without a new client", async () => {
  await using sentinel = await startRedisSentinel();
  const client = sentinel.client({ enableOfflineQueue: false });
  await eventually(() => client.status === "ready");
  const limiter = createRateLimiter(
    { rules: { by_user: "3/m" }, timeoutMs: 500, breaker: { failures: 1, openMs: 100 } },
    { store: createRedisStore({ client }) },
  );
  expect(await limiter.check({ user: "ann" })).toMatchObject({ allowed: true, verdicts: [{ remaining: 2 }] });
  await (await sentinel.master()).kill();
  expect((await limiter.check({ user: "ann" })).degraded).toBe("open");
  await eventually(async () => (await limiter.check({ user: "bob" })).degraded === undefined, {
    timeoutMs: 20_000,
    intervalMs: 100,
  });
  for (let i = 0; i < 3; i++) await limiter.check({ user: "bob" });
  expect(await limiter.check({ user: "bob" })).toMatchObject({ allowed: false, code: "rate_limited" });
});
