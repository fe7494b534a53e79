import { recordRow } from "@gatewright/bench";
import { createClassifier } from "@gatewright/server-classifier";
import { createRedisClassifierStore } from "@gatewright/server-classifier/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";

const LEASE_MS = 3_000;

function contender(redis: RedisServer) {
  const store = createRedisClassifierStore({
    client: redis.client(),
    subscriber: redis.client({ commandTimeout: undefined }),
  });
  const timing = { cycleMs: 500, leaseMs: LEASE_MS, heartbeatMs: 1_000 };
  return createClassifier(timing, { store, servers: () => [{ id: "s" }], usage: { usage: () => [] } });
}

/** Milliseconds until one of two contenders leads, after a clean stop and after a crash of the leader. */
export async function benchTakeover(): Promise<void> {
  await using redis = await startRedis();
  const keepAlive = setInterval(() => {}, 1_000);
  const first = contender(redis);
  first.start();
  await eventually(() => first.stats().leader);
  const others = [contender(redis), contender(redis)];
  for (const other of others) other.start();
  await eventually(() => others.every((other) => other.stats().cycles > 0));
  const leads = () => others.some((other) => other.stats().leader);
  const stoppedAt = performance.now();
  await first.stop();
  await eventually(leads, { intervalMs: 1 });
  const clean = performance.now() - stoppedAt;
  for (const other of others) await other.stop();
  // A leader that took its lease and is never heard of again.
  await createRedisClassifierStore({ client: redis.client() }).acquire("crashed", LEASE_MS, 0);
  const crashedAt = performance.now();
  for (const other of others) other.start();
  await eventually(leads, { intervalMs: 1, timeoutMs: LEASE_MS * 3 });
  const crash = performance.now() - crashedAt;
  for (const other of others) await other.stop();
  clearInterval(keepAlive);
  const base = { subject: "server-classifier", unit: "ms", better: "less", peers: {} } as const;
  recordRow({
    ...base,
    what: "new leader after a clean stop",
    ours: clean,
    bar: "≤ 1 s",
    met: clean <= 1_000,
  });
  recordRow({
    ...base,
    what: `new leader after a crash, lease ${LEASE_MS} ms`,
    ours: crash,
    bar: "≤ lease TTL + 1 s",
    met: crash <= LEASE_MS + 1_000,
  });
}
