import { createMemoryStore, createRateLimiter } from "@gatewright/rate-limiter";
import { MemoryStore } from "express-rate-limit";
import { RateLimiterMemory } from "rate-limiter-flexible";

/** Bytes per key held by a store of 100 000 keys, names included; run with --expose-gc. */
const KEYS = 100_000;
const [variant = ""] = process.argv.slice(2);
const gc = (globalThis as { gc?: () => void }).gc;

function used(): number {
  gc?.();
  gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const limiter = createRateLimiter(
  { algorithm: "sliding_window", rules: { by_user: "10/h" } },
  { store: createMemoryStore() },
);
const flexible = new RateLimiterMemory({ points: 10, duration: 3_600 });
const express = new MemoryStore();
express.init({ windowMs: 3_600_000 } as never);
const fill = {
  ours: (user: string) => limiter.check({ user }),
  "rate-limiter-flexible": (user: string) => flexible.consume(user),
  "express-rate-limit": (user: string) => express.increment(user),
}[variant]!;
const before = used();
for (let i = 0; i < KEYS; i++) await fill(`user-${i}`);
const bytes = (used() - before) / KEYS;
process.send?.(bytes);
console.log(variant, bytes.toFixed(0), "B per key");
process.exit();
