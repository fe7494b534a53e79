import { createMemoryStore, createRateLimiter, type Decision, type Subject } from "@gatewright/rate-limiter";
import { MemoryStore } from "express-rate-limit";
import { RateLimiterMemory } from "rate-limiter-flexible";
import { FLOORS } from "../floor.ts";

/**
 * CPU nanoseconds per check over 10 000 keys. All variants take turns in one process, so that each round of one is
 * beside a round of every other on a machine that other work may slow down: figures are the best round, ratios the
 * median over the rounds.
 */
const KEYS = 10_000;
const PER_ROUND = 100_000;
const ROUNDS = 40;
const WARM_UP = 8;
const WINDOW_MS = 3_600_000;
const [algorithm = "", outcome = ""] = process.argv.slice(2);
const users = Array.from({ length: KEYS }, (_, i) => `user-${i}`);
const limit = outcome === "refused" ? 1 : 1_000_000;

/** Decisions are kept, or the compiler would not make them. */
let last: unknown;

function ours(): () => void {
  const limiter = createRateLimiter(
    { algorithm: algorithm as never, rules: { by_user: `${limit}/h` } },
    { store: createMemoryStore() },
  );
  return () => {
    for (let i = 0; i < PER_ROUND; i++) last = limiter.check({ user: users[i % KEYS]! });
  };
}

function flexible(): () => Promise<void> {
  const limiter = new RateLimiterMemory({ points: limit, duration: WINDOW_MS / 1_000 });
  return async () => {
    for (let i = 0; i < PER_ROUND; i++) {
      try {
        await limiter.consume(users[i % KEYS]!);
      } catch {}
    }
  };
}

function express(): () => Promise<void> {
  const store = new MemoryStore();
  store.init({ windowMs: WINDOW_MS } as never);
  return async () => {
    for (let i = 0; i < PER_ROUND; i++) await store.increment(users[i % KEYS]!);
  };
}

/**
 * The least that gives the same answer by the same algorithm: one Map, one clock reading, the key that a subject is counted
 * by, one decision, and with it what a refund has to know; what was decided is counted.
 */
function floor(): () => void {
  const take = FLOORS[algorithm]!(limit, WINDOW_MS);
  const counts = { allowed: 0, refused: 0 };
  const wiped = 0;
  const check = (subject: Subject): Partial<Decision> & { charged: object | undefined } => {
    const { user } = subject;
    if (typeof user !== "string" || user === "") throw new Error("There is no user");
    const now = Date.now();
    const { allowed, remaining, resetMs, retryAfterMs } = take(user, now, wiped);
    if (allowed) counts.allowed++;
    else counts.refused++;
    return {
      allowed,
      code: allowed ? "allowed" : "rate_limited",
      retryAfterMs,
      verdicts: [
        {
          rule: "by_user",
          kind: "user",
          limit,
          windowMs: WINDOW_MS,
          remaining,
          resetMs,
          allowed,
          retryAfterMs,
        },
      ],
      mode: "enforce",
      rev: 0,
      tenantRev: 0,
      shadow: false,
      charged: allowed ? { user, at: now, wiped } : undefined,
    };
  };
  return () => {
    for (let i = 0; i < PER_ROUND; i++) last = check({ user: users[i % KEYS]! });
  };
}

const variants: Record<string, () => void | Promise<void>> = {
  ours: ours(),
  "rate-limiter-flexible": flexible(),
  ...(outcome === "allowed" && { "express-rate-limit": express() }),
  floor: floor(),
};
const rounds: Record<string, number[]> = {};
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, run] of Object.entries(variants)) {
    const before = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(before);
    rounds[name] ??= [];
    if (round >= WARM_UP) rounds[name].push(((user + system) * 1_000) / PER_ROUND);
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const own = rounds["ours"]!;
const results = Object.fromEntries(
  Object.entries(rounds).map(([name, values]) => {
    const times = values.map((value, i) => value / own[i]!);
    return [name, { ns: Math.min(...values), median: median(values), times: median(times) }];
  }),
);
if (last === undefined) throw new Error("Nothing was decided");
process.send?.(results);
console.log(algorithm, outcome);
console.table(results);
process.disconnect?.();
process.exit();
