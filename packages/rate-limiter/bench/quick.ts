import { createMemoryStore, createRateLimiter } from "@gatewright/rate-limiter";

const users = Array.from({ length: 10_000 }, (_, i) => `user-${i}`);
function run(rate: string, algorithm: never, n = 2_000_000) {
  const limiter = createRateLimiter({ rules: { by_user: rate }, algorithm }, { store: createMemoryStore() });
  for (let i = 0; i < 300_000; i++) limiter.check({ user: users[i % 10_000]! });
  const t = process.hrtime.bigint();
  for (let i = 0; i < n; i++) limiter.check({ user: users[i % 10_000]! });
  return Number(process.hrtime.bigint() - t) / n;
}
const a = process.argv[2] as never;
console.log(
  a,
  "allowed",
  run("1000000/h", a).toFixed(1),
  "refused",
  run("1/h", a).toFixed(1),
  "allowed again",
  run("1000000/h", a).toFixed(1),
);
