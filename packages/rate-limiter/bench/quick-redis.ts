import { readFileSync } from "node:fs";
import { createRateLimiter } from "@gatewright/rate-limiter";
import { createRedisStore } from "@gatewright/rate-limiter/redis";
import { startRedis } from "@gatewright/testkit";

const redis = await startRedis();
const cpuOf = (pid: number) => {
  const f = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(f[11]) + Number(f[12])) * 10_000;
};
const client = redis.client({ enableAutoPipelining: process.argv[2] === "auto" });
await client.ping();
for (const algorithm of ["fixed_window", "sliding_window", "token_bucket", "gcra"] as const) {
  const store = createRedisStore({ client: client as never });
  const limiter = createRateLimiter(
    { algorithm, rules: { by_user: "1000000/h", by_tenant: "1000000/h", by_tool: { x: "1000000/h" } } },
    { store },
  );
  const run = async (total: number) => {
    let left = total;
    const worker = async (_w: number) => {
      while (left-- > 0) {
        const d = await limiter.check({ user: `u${left % 1000}`, tenant: "t", tool: "x" });
        if (!d.allowed) throw new Error("refused");
      }
    };
    await Promise.all(Array.from({ length: 64 }, (_, i) => worker(i)));
  };
  await run(20_000);
  const c0 = cpuOf(redis.pid),
    p0 = process.cpuUsage(),
    t0 = performance.now();
  await run(100_000);
  const t = performance.now() - t0,
    p = process.cpuUsage(p0);
  console.log(
    algorithm,
    `${(100_000 / t).toFixed(1)} k/s`,
    `redis ${((cpuOf(redis.pid) - c0) / 100_000).toFixed(1)} µs`,
    `client ${((p.user + p.system) / 100_000).toFixed(1)} µs`,
  );
}
await redis.close();
