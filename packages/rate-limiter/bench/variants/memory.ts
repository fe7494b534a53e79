import { createMemoryStore, createRateLimiter } from "@gatewright/rate-limiter";
import { MemoryStore } from "express-rate-limit";
import { RateLimiterMemory } from "rate-limiter-flexible";

/** CPU nanoseconds per check over 10 000 keys, the best of many rounds; one process per variant. */
const KEYS = 10_000;
const PER_ROUND = 100_000;
const [variant = "", outcome = ""] = process.argv.slice(2);
const users = Array.from({ length: KEYS }, (_, i) => `user-${i}`);
const limit = outcome === "refused" ? 1 : 1_000_000;

async function rounds(): Promise<() => void | Promise<void>> {
  if (variant === "rate-limiter-flexible") {
    const limiter = new RateLimiterMemory({ points: limit, duration: 3_600 });
    return async () => {
      for (let i = 0; i < PER_ROUND; i++) {
        try {
          await limiter.consume(users[i % KEYS]!);
        } catch {}
      }
    };
  }
  if (variant === "express-rate-limit") {
    const store = new MemoryStore();
    store.init({ windowMs: 3_600_000 } as never);
    return async () => {
      for (let i = 0; i < PER_ROUND; i++) await store.increment(users[i % KEYS]!);
    };
  }
  const limiter = createRateLimiter(
    { algorithm: variant as never, rules: { by_user: `${limit}/h` } },
    { store: createMemoryStore() },
  );
  return () => {
    for (let i = 0; i < PER_ROUND; i++) limiter.check({ user: users[i % KEYS]! });
  };
}

const round = await rounds();
let best = Number.POSITIVE_INFINITY;
for (let i = 0; i < 40; i++) {
  const before = process.cpuUsage();
  await round();
  const { user, system } = process.cpuUsage(before);
  best = Math.min(best, ((user + system) * 1_000) / PER_ROUND);
}
process.send?.(best);
console.log(variant, outcome, best.toFixed(1));
process.disconnect?.();
process.exit();
