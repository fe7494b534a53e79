import { createRateLimiter } from "@gatewright/rate-limiter";
import { createRedisStore } from "@gatewright/rate-limiter/redis";
import { Redis } from "ioredis";

/** A replica of its own: makes `calls` checks for one user against the Redis at `port`, prints how many passed. */
const [port, calls, rate] = process.argv.slice(2);
const client = new Redis({ host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: 1 });
const limiter = createRateLimiter(
  { rules: { by_user: rate ?? "30/m" }, failurePolicy: "closed", timeoutMs: 10_000 },
  { store: createRedisStore({ client }) },
);
const decisions = await Promise.all(
  Array.from({ length: Number(calls) }, async () => limiter.check({ user: "ann", tenant: "team" })),
);
console.log(decisions.filter((decision) => decision.allowed).length);
client.disconnect();
