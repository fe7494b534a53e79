import { z } from "zod";
import { SessionPoolError } from "./errors.ts";
import { nearestKey } from "./nearest-key.ts";

/** Settings of a pool. Times in milliseconds. Every one has a default. */
export interface SessionPoolOptions {
  /** Leases that may share one session at a time. `1` makes sessions exclusive; `exclusive` keys always are. Default 16. */
  readonly maxConcurrencyPerSession?: number;
  /** Sessions per key of the strategies identity, sessionless and exclusive. Default 10. */
  readonly maxPerKey?: number;
  /** Sessions per `downstream` key. Default 1. */
  readonly maxPerDownstreamKey?: number;
  /** Sessions per server. Default 100. */
  readonly maxPerServer?: number;
  /** Sessions per tenant, over all servers. Default 250. */
  readonly maxPerTenant?: number;
  /** Sessions in all. Default 1 000. */
  readonly maxTotal?: number;
  /** Callers that may wait for one key. Default 2 000. */
  readonly maxWaitersPerKey?: number;
  /** Callers that may wait in all. Default 10 000. */
  readonly maxWaiters?: number;
  /** Longest wait for a session. Default 30 000. */
  readonly acquireTimeoutMs?: number;
  /** Longest wait for `connect`. Default 10 000. */
  readonly connectTimeoutMs?: number;
  /** Longest wait for `close`; then it is abandoned with a warning. Default 5 000. */
  readonly closeTimeoutMs?: number;
  /** A session idle for longer is probed before it is handed out. Default 60 000. */
  readonly idleCheckMs?: number;
  /** Deadline of a whole chain of probes. Default 5 000. */
  readonly probeTimeoutMs?: number;
  /** Age at which sessions are retired, ±10 %; not for `downstream`. Default 300 000. */
  readonly maxAgeMs?: number;
  /** Leases after which a session is retired; not for `downstream`. Default: no limit. */
  readonly maxUses?: number;
  /** Idle time after which sessions are closed; not for `downstream`. Default 600 000. */
  readonly idleEvictMs?: number;
  /** Time without a lease or a touch after which a downstream session counts as ended. Default 1 800 000. */
  readonly downstreamIdleMs?: number;
  /** How often the reaper looks. Default 5 000. */
  readonly reapIntervalMs?: number;
  /** Consecutive timeouts that retire a session. Default 3. */
  readonly retireAfterTimeouts?: number;
  /** Consecutive connect failures that open the breaker of a server. Default 5. */
  readonly breakerFailures?: number;
  /** How long the breaker stays open before one probe may pass. Default 60 000. */
  readonly breakerResetMs?: number;
  /** How long `drain` and `close` wait for leases in flight. Default 10 000. */
  readonly drainTimeoutMs?: number;
  /** Servers whose usage is remembered while they have no session. Default 10 000. */
  readonly maxTrackedServers?: number;
}

/** Limits of one key that differ from the pool's: whole numbers of at least 1, or infinity. */
export interface KeyLimits {
  /** Default: `maxConcurrencyPerSession` of the pool. */
  readonly maxConcurrencyPerSession?: number;
  /** Default: `maxPerKey`, or `maxPerDownstreamKey`, of the pool. */
  readonly maxPerKey?: number;
  /** Default: `maxPerServer` of the pool. A server has one: what was said last of any of its keys. */
  readonly maxPerServer?: number;
}

/** Returns limits that `limitsOf` gave for a key. Throws `validation_failed`. */
export function checkKeyLimits(limits: KeyLimits): KeyLimits {
  for (const name of ["maxConcurrencyPerSession", "maxPerKey", "maxPerServer"] as const) {
    const value = limits[name];
    if (value === undefined || value === Number.POSITIVE_INFINITY) continue;
    if (!Number.isInteger(value) || value < 1) throw badNumber(name, value, "a whole number of at least 1");
  }
  return limits;
}

/** Returns a number of milliseconds. Throws `validation_failed`. */
export function checkTime(name: string, value: number): number {
  if (!isTime(value)) throw notATime(name, value);
  return value;
}

/** Whether something is a number of milliseconds; an infinite one is no bound. */
export function isTime(value: unknown): boolean {
  return typeof value === "number" && !Number.isNaN(value);
}

/** The error for an option that is no time. */
export function notATime(name: string, value: unknown): SessionPoolError {
  return badNumber(name, value, "a number of milliseconds");
}

function badNumber(name: string, value: unknown, wanted: string): SessionPoolError {
  return new SessionPoolError("validation_failed", `option "${name}": ${String(value)} is not ${wanted}`, {
    details: { path: name },
  });
}

/** {@link SessionPoolOptions} with every default filled in. */
export type ResolvedPoolOptions = Readonly<Required<SessionPoolOptions>>;

const count = (value: number) => z.number().int().min(1).default(value);
const unlimited = (value: number) =>
  z.union([z.literal(Number.POSITIVE_INFINITY), z.number().int().min(1)]).default(value);
const millis = (value: number) =>
  z
    .number()
    .min(1)
    .max(2 ** 31 - 1)
    .default(value);

const schema = z.strictObject({
  maxConcurrencyPerSession: count(16),
  maxPerKey: count(10),
  maxPerDownstreamKey: count(1),
  maxPerServer: count(100),
  maxPerTenant: count(250),
  maxTotal: count(1000),
  maxWaitersPerKey: count(2000),
  maxWaiters: count(10_000),
  acquireTimeoutMs: millis(30_000),
  connectTimeoutMs: millis(10_000),
  closeTimeoutMs: millis(5000),
  idleCheckMs: millis(60_000),
  probeTimeoutMs: millis(5000),
  maxAgeMs: millis(300_000),
  maxUses: unlimited(Number.POSITIVE_INFINITY),
  idleEvictMs: millis(600_000),
  downstreamIdleMs: millis(1_800_000),
  reapIntervalMs: millis(5000),
  retireAfterTimeouts: count(3),
  breakerFailures: count(5),
  breakerResetMs: millis(60_000),
  drainTimeoutMs: z
    .number()
    .min(0)
    .max(2 ** 31 - 1)
    .default(10_000),
  maxTrackedServers: count(10_000),
});

/** Checks options once and fills in the defaults. Throws `validation_failed`, naming the key and the nearest right one. */
export function resolvePoolOptions(options: SessionPoolOptions): ResolvedPoolOptions {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue?.code === "unrecognized_keys") {
    const wrong = issue.keys[0] ?? "";
    const near = nearestKey(wrong, Object.keys(schema.shape));
    throw new SessionPoolError("validation_failed", `unknown option "${wrong}"; did you mean "${near}"?`, {
      details: { path: wrong, suggestion: near },
    });
  }
  const path = issue?.path.join(".") ?? "";
  throw new SessionPoolError("validation_failed", `option "${path}": ${issue?.message ?? "invalid"}`, {
    details: { path },
  });
}
