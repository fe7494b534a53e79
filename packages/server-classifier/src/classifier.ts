import type { ServerHistory } from "./classification.ts";
import { type ClassifierOptions, classifierSchema } from "./classifier-options.ts";
import type { ClassifierStore } from "./classifier-store.ts";
import { classifyWith } from "./classify.ts";
import { type Clock, systemClock } from "./clock.ts";
import { ClassifierError } from "./errors.ts";
import type { KnownServer, Tier } from "./known-server.ts";
import { createLeadership } from "./leadership.ts";
import { createMemoryStore } from "./memory-store.ts";
import { createNap } from "./nap.ts";
import { type ClassifierObserver, tell } from "./observer.ts";
import { parseOptions } from "./parse-options.ts";
import type { PolledServer } from "./poll-interval.ts";
import { createPollSchedule, type PollExplanation, type PollSchedule } from "./poll-schedule.ts";
import { isNewer, type Snapshot, tierOf } from "./snapshot.ts";
import { createStoreClock } from "./store-clock.ts";
import { createUsageReporter } from "./usage-reporter.ts";
import type { UsageSource } from "./usage-source.ts";
import { within } from "./within.ts";

/** What a classifier works with. */
export interface ClassifierDeps {
  /** The registry's servers, asked once a cycle. */
  readonly servers: () => Iterable<KnownServer>;
  /** Use of this replica. */
  readonly usage: UsageSource;
  /** Shared state. Default: this process alone, in memory. */
  readonly store?: ClassifierStore;
  readonly clock?: Clock;
  /** Uniform in [0, 1). Default `Math.random`. */
  readonly random?: () => number;
  readonly observer?: ClassifierObserver;
}

/** All that is known of one server. */
export interface ServerExplanation {
  readonly serverId: string;
  readonly tier: Tier | undefined;
  readonly score: number;
  /** 1 is the hottest; 0 is unranked. */
  readonly rank: number;
  /** Places among the hot; undefined without a snapshot. */
  readonly hotCap: number | undefined;
  /** Epoch milliseconds of the store's clock; 0 is never. */
  readonly lastUsedAt: number;
  readonly why: string;
  readonly polls: readonly PollExplanation[];
}

/** A snapshot of a classifier's numbers. */
export interface ClassifierStats {
  readonly running: boolean;
  readonly leader: boolean;
  readonly epoch: number;
  readonly version: number;
  /** Age of the snapshot in use; undefined without one. */
  readonly lagMs: number | undefined;
  readonly tiers: Readonly<Record<Tier, number>>;
  /** Tier changes this process published. */
  readonly moves: number;
  readonly cycles: number;
  readonly failedCycles: number;
  readonly polls: ReturnType<PollSchedule["stats"]>;
}

/** Classifies servers in a loop and schedules their polls. */
export interface Classifier {
  readonly instanceId: string;
  readonly schedule: PollSchedule;
  /** Starts the loop. Does nothing when it runs or is not enabled; starts again after `stop`, once that is done. */
  start(): void;
  /** Ends the loop, waits for a running cycle, and hands leadership on. Idempotent. */
  stop(): Promise<void>;
  /** The last snapshot; stays usable when it is stale. */
  snapshot(): Snapshot | undefined;
  tierOf(serverId: string): Tier | undefined;
  explain(server: string | PolledServer): ServerExplanation;
  stats(): ClassifierStats;
  [Symbol.asyncDispose](): Promise<void>;
}

const CYCLE_SHARE = 0.8;
const SNAPSHOT_CYCLES = 5;
const REPORT_CYCLES = 3;

/**
 * Makes a {@link Classifier}. Every replica reports its use once a cycle; the one that holds the lease
 * classifies the sum and publishes, the others read, at its notice or else in their cycle. At most three round trips per
 * cycle and replica.
 *
 * @throws ClassifierError `invalid_options`.
 */
export function createClassifier(options: ClassifierOptions, deps: ClassifierDeps): Classifier {
  const settings = parseOptions(classifierSchema, options);
  const { clock = systemClock, random = Math.random, observer } = deps;
  const ownStore = deps.store === undefined;
  const store = deps.store ?? createMemoryStore({ now: clock.wall });
  const instanceId = crypto.randomUUID();
  const time = createStoreClock(clock);
  const reporter = createUsageReporter(instanceId, deps.usage, store, clock);
  const nap = createNap(clock);
  const counts = { moves: 0, cycles: 0, failedCycles: 0 };
  let snapshot: Snapshot | undefined;
  let readSinceCycle = false;
  let loop: Promise<void> | undefined;
  let running = false;
  let wanted = false;
  let ending: Promise<void> | undefined;
  let unsubscribe = () => {};

  const onError = (error: unknown) => tell(() => observer?.onError?.(error));
  const leadership = createLeadership({
    store,
    instanceId,
    leaseMs: settings.leaseMs,
    heartbeatMs: settings.heartbeatMs,
    clock,
    random,
    onError,
    onChange(leader, epoch) {
      tell(() => observer?.onLeader?.({ leader, epoch }));
      if (leader) nap.wake();
    },
  });

  const inUse = (serverId: string) => {
    const seen = snapshot?.servers.get(serverId);
    if (reporter.isActive(serverId) || (seen?.active ?? 0) > 0) return true;
    return seen !== undefined && seen.lastUsedAt > 0 && time.now() - seen.lastUsedAt < settings.inUseMs;
  };
  const currentTier = (serverId: string) => (settings.enabled ? tierOf(snapshot, serverId) : undefined);
  const schedule = createPollSchedule(settings.schedule, {
    store,
    tierOf: currentTier,
    inUse,
    clock,
    onError,
  });

  const adopt = (candidate: Snapshot | undefined) => {
    if (candidate !== undefined && isNewer(candidate, snapshot)) snapshot = candidate;
  };
  const follow = async () => {
    const reply = await store.read();
    time.note(reply.now);
    adopt(reply.snapshot);
  };
  const hearOfPublication = async () => {
    if (leadership.isLeader()) return;
    await follow();
    readSinceCycle = true;
  };
  // Its term is that of when the work began: one that hears of its successor meanwhile must not take the successor's.
  const lead = async (epoch: number, signal: AbortSignal) => {
    const { usage, snapshot: stored, now } = await store.collect();
    signal.throwIfAborted();
    time.note(now);
    adopt(stored);
    const before: ReadonlyMap<string, ServerHistory> = snapshot?.servers ?? new Map();
    const classification = classifyWith(deps.servers(), usage, settings.ranking, now, before);
    const reply = await store.publish({
      epoch,
      versionSeen: snapshot?.version ?? 0,
      classification,
      ttlMs: settings.cycleMs * SNAPSHOT_CYCLES,
    });
    if (!reply.accepted) leadership.deposed(epoch);
    adopt(reply.snapshot);
    if (!reply.accepted) return;
    for (const [serverId, { tier }] of classification.history) {
      const from = before.get(serverId)?.tier;
      if (from === tier) continue;
      if (from !== undefined) counts.moves++;
      tell(() => observer?.onMove?.({ serverId, from, to: tier }));
    }
  };
  const cycle = async (signal: AbortSignal) => {
    const startedAt = clock.now();
    time.note(await reporter.flush(settings.cycleMs * REPORT_CYCLES));
    signal.throwIfAborted();
    const leader = leadership.isLeader();
    // What a notice had read since the last cycle need not be read again; where later notices are lost, what they told of
    // is read within two cycles.
    const known = readSinceCycle;
    readSinceCycle = false;
    if (leader) await lead(leadership.epoch(), signal);
    else if (!known) await follow();
    signal.throwIfAborted();
    counts.cycles++;
    const { epoch = 0, version = 0 } = snapshot ?? {};
    tell(() => observer?.onCycle?.({ leader, epoch, version, durationMs: clock.now() - startedAt }));
  };

  const run = async () => {
    while (running) {
      let pauseMs = settings.cycleMs * (0.95 + random() / 10);
      const abort = new AbortController();
      try {
        await withinLease(cycle(abort.signal));
      } catch (error) {
        // One that is late must not publish beside the next.
        abort.abort();
        counts.failedCycles++;
        onError(error);
        pauseMs = settings.errorBackoffMs;
        nap.reset();
      }
      if (running) await nap.sleep(pauseMs);
    }
  };
  const withinLease = (work: Promise<void>) => {
    const limitMs = settings.leaseMs * CYCLE_SHARE;
    return within(clock, work, limitMs, () => {
      return new ClassifierError("cycle_timeout", `a cycle took longer than ${limitMs} ms`);
    });
  };

  const begin = () => {
    running = true;
    readSinceCycle = false;
    unsubscribe = store.subscribe((event) => {
      if (event === "released") leadership.poke();
      else hearOfPublication().catch(onError);
    });
    leadership.start();
    // Nothing in the loop should throw; if something does, the lease goes to another and `start` may be called again.
    loop = run().catch((error) => {
      onError(error);
      stop().catch(onError);
    });
  };
  const end = async () => {
    running = false;
    unsubscribe();
    nap.wake();
    try {
      await Promise.all([loop, leadership.stop()]);
      if (ownStore) await store.close();
    } finally {
      ending = undefined;
      // Whoever started it meanwhile had to wait: two loops would fight over the lease.
      if (wanted) begin();
    }
  };
  const stop = () => {
    wanted = false;
    ending ??= end();
    return ending;
  };

  return {
    instanceId,
    schedule,
    start() {
      if (!settings.enabled) return;
      wanted = true;
      if (!running && ending === undefined) begin();
    },
    stop,
    snapshot: () => snapshot,
    tierOf: currentTier,
    explain(server) {
      const polled = typeof server === "string" ? { id: server } : server;
      const seen = snapshot?.servers.get(polled.id);
      return {
        serverId: polled.id,
        tier: currentTier(polled.id),
        score: seen?.score ?? 0,
        rank: seen?.rank ?? 0,
        hotCap: snapshot?.metadata.hotCap,
        lastUsedAt: seen?.lastUsedAt ?? 0,
        why: seen?.why ?? (settings.enabled ? "not classified yet" : "classification is off"),
        polls: [schedule.explain(polled, "health"), schedule.explain(polled, "tool_discovery")],
      };
    },
    stats() {
      const tiers = { hot: 0, warm: 0, cold: 0, dormant: 0 };
      for (const { tier } of snapshot?.servers.values() ?? []) tiers[tier]++;
      return {
        running,
        leader: leadership.isLeader(),
        epoch: leadership.epoch(),
        version: snapshot?.version ?? 0,
        lagMs: snapshot && Math.max(0, time.now() - snapshot.metadata.timestamp),
        tiers,
        ...counts,
        polls: schedule.stats(),
      };
    },
    [Symbol.asyncDispose]: stop,
  };
}
