import { createRateLimiter } from "@gatewright/rate-limiter";
import { createRedisStore, type RedisClient } from "@gatewright/rate-limiter/redis";
import { startRedis, startRedisCluster } from "@gatewright/testkit";

/** A wipe of 200 000 counters: ms until every check sees a fresh window, and what Redis does meanwhile. */
const COUNTERS = 200_000;

async function fill(check: (i: number) => unknown): Promise<void> {
  for (let i = 0; i < COUNTERS; i += 1_000) {
    await Promise.all(Array.from({ length: 1_000 }, (_, j) => check(i + j)));
  }
}

async function p99(check: (i: number) => unknown, ms: number): Promise<number> {
  const lasted: number[] = [];
  const end = performance.now() + ms;
  for (let i = 0; performance.now() < end; i++) {
    const before = performance.now();
    await check(i);
    lasted.push(performance.now() - before);
  }
  return lasted.sort((a, b) => a - b)[Math.floor(lasted.length * 0.99)]!;
}

async function measure(client: RedisClient) {
  const store = createRedisStore({ client });
  const limiter = createRateLimiter({ rules: { by_user: "100/d" }, timeoutMs: 10_000 }, { store });
  const subject = (i: number) => ({ user: `u${i}`, tenant: `t${i % 500}` });
  await fill((i) => limiter.check(subject(i)));
  const before = await p99((i) => limiter.check(subject(i)), 1_500);
  const started = performance.now();
  await limiter.wipe({ scope: "all" });
  const wipeMs = performance.now() - started;
  const seen = await Promise.all(Array.from({ length: 2_000 }, (_, i) => limiter.peek(subject(i * 97))));
  const stale = seen.filter((decision) => decision.verdicts[0]!.remaining < 100).length;
  const during = await p99((i) => limiter.check(subject(i)), 1_500);
  store.close();
  return { wipeMs, stale, p99Before: before, p99During: during };
}

const redis = await startRedis();
const single = await measure(redis.client());
const scanning = redis.client();
const started = performance.now();
let cursor = "0";
do {
  const [next, keys] = await scanning.scan(cursor, "MATCH", "gw:{l*}:rl:*", "COUNT", 1_000);
  if (keys.length > 0) await scanning.unlink(...keys);
  cursor = next;
} while (cursor !== "0");
const scanMs = performance.now() - started;
await redis.close();

const cluster = await startRedisCluster();
const clustered = await measure(cluster.client());
await cluster.close();
process.send?.({ single, clustered, scanMs });
console.log({ single, clustered, scanMs });
process.exit();
