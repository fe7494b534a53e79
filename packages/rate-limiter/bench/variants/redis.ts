import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRateLimiter } from "@gatewright/rate-limiter";
import { createRedisStore } from "@gatewright/rate-limiter/redis";
import { startRedis } from "@gatewright/testkit";
import { Ratelimit } from "@upstash/ratelimit";
import { RateLimiterRedis } from "rate-limiter-flexible";
import { WriteBatch } from "../../src/redis/write-batch.ts";

/**
 * Checks of three rules, 64 in flight on one connection: checks/s, CPU of the Redis server, CPU of the client. The
 * variants take turns; figures are the best round, `times` is the median over the rounds of checks/s in units of
 * rate-limiter-flexible's in the same round.
 */
const IN_FLIGHT = 64;
const CHECKS = 40_000;
const ROUNDS = 5;
const redis = await startRedis();
const client = redis.client();
await client.ping();

function serverCpuMicros(): number {
  return Number(readFileSync(`/proc/${redis.pid}/schedstat`, "utf8").split(" ")[0]) / 1_000;
}

function sha1(text: string): string {
  return createHash("sha1").update(text).digest("hex");
}

function ours(algorithm: never) {
  const rules = { by_user: "1000000/h", by_ip: "1000000/h", by_tool: { x: "1000000/h" } };
  const limiter = createRateLimiter(
    { algorithm, rules, timeoutMs: 10_000 },
    { store: createRedisStore({ client }) },
  );
  return (i: number) => limiter.check({ user: `u${i % 1_000}`, ip: `10.0.0.${i % 250}`, tool: "x" });
}

function flexible() {
  const [user, ip, tool] = ["user", "ip", "tool"].map(
    (keyPrefix) =>
      new RateLimiterRedis({ storeClient: client, keyPrefix, points: 1_000_000, duration: 3_600 }),
  );
  return (i: number) =>
    Promise.all([user!.consume(`u${i % 1_000}`), ip!.consume(`10.0.0.${i % 250}`), tool!.consume("x")]);
}

/**
 * Upstash speaks HTTP to its own servers. Here its scripts go over the same connection as the others, without the
 * shebang line that an ordinary Redis refuses (`allow-key-locking`).
 */
function upstash() {
  const plain = new Map<string, string>();
  const run = (text: string, keys: string[], args: unknown[]) =>
    client.eval(text, keys.length, ...keys, ...(args as string[]));
  const bridge = {
    evalsha: (sha: string, keys: string[], args: unknown[]) => {
      const known = plain.get(sha);
      if (known === undefined) return Promise.reject(new Error("NOSCRIPT"));
      return client.evalsha(known, keys.length, ...keys, ...(args as string[]));
    },
    eval: (text: string, keys: string[], args: unknown[]) => {
      const stripped = text.replace(/^#!.*\n/, "");
      plain.set(sha1(text), sha1(stripped));
      return run(stripped, keys, args);
    },
  };
  const [user, ip, tool] = ["user", "ip", "tool"].map(
    (prefix) =>
      new Ratelimit({
        redis: bridge as never,
        limiter: Ratelimit.slidingWindow(1_000_000, "3600 s"),
        prefix,
        ephemeralCache: false,
      }),
  );
  return (i: number) =>
    Promise.all([user!.limit(`u${i % 1_000}`), ip!.limit(`10.0.0.${i % 250}`), tool!.limit("x")]);
}

/**
 * The least that counts three keys in one call on the clock of Redis: a script of fixed numbers, two doubles a key and
 * no wipes, modes or clock steps, over the bare client, with the same batching of writes.
 */
function floor() {
  const text = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local values = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
local starts, used = {}, {}
for i = 1, 3 do
  starts[i], used[i] = now, 0
  if values[i] then starts[i], used[i] = struct.unpack('<dd', values[i]) end
  if used[i] >= 1000000 then return struct.pack('<dd', i, starts[i] + 3600000 - now) end
end
for i = 1, 3 do
  local state = struct.pack('<dd', starts[i], used[i] + 1)
  if values[i] then redis.call('SET', KEYS[i], state, 'KEEPTTL')
  else redis.call('SET', KEYS[i], state, 'PX', 3600000) end
end
return struct.pack('<dddd', 0, used[1], used[2], used[3])`;
  const sha = sha1(text);
  const loaded = client.script("LOAD", text);
  const batch = new WriteBatch();
  return async (i: number) => {
    await loaded;
    batch.join(client.stream);
    return client.callBuffer("EVALSHA", sha, "3", `f:u${i % 1_000}`, `f:10.0.0.${i % 250}`, "f:x");
  };
}

const variants = {
  "rate-limiter-flexible": flexible(),
  "@upstash/ratelimit": upstash(),
  floor: floor(),
  fixed_window: ours("fixed_window" as never),
  sliding_window: ours("sliding_window" as never),
  token_bucket: ours("token_bucket" as never),
  gcra: ours("gcra" as never),
};
const results: Record<string, { perSecond: number; server: number; client: number; times: number }> = {};
const times: Record<string, number[]> = {};

for (let round = 0; round <= ROUNDS; round++) {
  let reference = 0;
  for (const [name, check] of Object.entries(variants)) {
    let left = round === 0 ? 5_000 : CHECKS;
    const total = left;
    const worker = async () => {
      while (left-- > 0) await check(left);
    };
    const [server, own, started] = [serverCpuMicros(), process.cpuUsage(), performance.now()];
    await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
    const seconds = (performance.now() - started) / 1_000;
    const { user, system } = process.cpuUsage(own);
    if (round === 0) continue;
    const best = results[name];
    if (name === "rate-limiter-flexible") reference = total / seconds;
    times[name] ??= [];
    times[name].push(total / seconds / reference);
    results[name] = {
      perSecond: Math.max(best?.perSecond ?? 0, total / seconds),
      server: Math.min(best?.server ?? Number.POSITIVE_INFINITY, (serverCpuMicros() - server) / total),
      client: Math.min(best?.client ?? Number.POSITIVE_INFINITY, (user + system) / total),
      times: times[name].toSorted((a, b) => a - b)[Math.floor(times[name].length / 2)]!,
    };
  }
}
process.send?.(results);
console.table(results);
await redis.close();
process.exit();
