import type { PollStore } from "./classifier-store.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Tier } from "./known-server.ts";
import { createMicroBatch } from "./micro-batch.ts";
import { parseOptions } from "./parse-options.ts";
import {
  type PolledServer,
  type PollType,
  plainInterval,
  spreadInterval,
  unitHash,
} from "./poll-interval.ts";
import {
  believedLast,
  dueAt,
  endPoll,
  isClaimed,
  neverPolled,
  type Pace,
  type PollEnding,
  type PollState,
} from "./poll-state.ts";
import { createRateCap } from "./rate-cap.ts";
import { type ScheduleOptions, scheduleSchema } from "./schedule-options.ts";
import { scopeKey } from "./scope-key.ts";
import { createStoreClock } from "./store-clock.ts";

/** The right to poll, from {@link PollSchedule.claim}. */
export interface PollClaim {
  readonly server: PolledServer;
  readonly pollType: PollType;
  readonly token: string;
  /** True when the store could not be asked and this process decided alone. */
  readonly degraded: boolean;
}

/** Why and when a poll is due. */
export interface PollExplanation {
  readonly pollType: PollType;
  readonly due: boolean;
  /** Epoch milliseconds of the store's clock; 0 is at once. */
  readonly dueAt: number;
  readonly intervalMs: number;
  /** Last poll that succeeded; 0 is never. */
  readonly lastPolledAt: number;
  readonly failures: number;
  readonly why: string;
}

/** Decides who polls which server when. */
export interface PollSchedule {
  /** Whether a poll seems due, from memory alone: no round trip. */
  shouldPoll(server: PolledServer, pollType: PollType): boolean;
  /** Takes the right to poll now; of all replicas one gets it. Claims of one turn share one round trip. */
  claim(server: PolledServer, pollType: PollType): Promise<PollClaim | undefined>;
  /** The poll takes long: nobody else gets it for another `claimMs`. False when somebody has got it already. */
  renew(claim: PollClaim): Promise<boolean>;
  /** The poll succeeded: its time counts. `ttlMs` is the server's own word on how long the list holds. */
  complete(claim: PollClaim, result?: { readonly ttlMs?: number | undefined }): Promise<void>;
  /**
   * The poll was not made: it is due at once, or where it could not be made now (`postponed: true`) after `failureBaseMs`;
   * or it failed (`failed: true`), then the next one waits longer each time.
   */
  abandon(
    claim: PollClaim,
    result?: { readonly failed?: boolean; readonly postponed?: boolean },
  ): Promise<void>;
  /** The server says that its list changed: due after the debounce, once. */
  listChanged(server: PolledServer, pollType?: PollType): Promise<void>;
  explain(server: PolledServer, pollType: PollType): PollExplanation;
  stats(): {
    readonly polls: number;
    readonly failures: number;
    /** Polls that 1× for all would have made more. */
    readonly saved: number;
    /** Polls granted without the store. */
    readonly degraded: number;
    /** Claims that came back empty-handed while the cap was reached. */
    readonly capped: number;
    readonly scopes: number;
  };
}

/** What a poll schedule works with. */
export interface ScheduleDeps {
  readonly store: PollStore;
  /** Tier of a server; undefined when it is not classified. */
  readonly tierOf?: (serverId: string) => Tier | undefined;
  /** Whether some replica uses the server now. */
  readonly inUse?: (serverId: string) => boolean;
  readonly clock?: Clock;
  readonly onError?: (error: unknown) => void;
}

/**
 * Makes a {@link PollSchedule}.
 *
 * What it does not know — a server without tier or without a last poll, a store that does not answer — it
 * polls, but never faster than its own memory of the last poll, the interval and `maxPollsPerSecond` allow.
 *
 * @throws ClassifierError `invalid_options`.
 */
export function createPollSchedule(options: ScheduleOptions, deps: ScheduleDeps): PollSchedule {
  const settings = parseOptions(scheduleSchema, options);
  const { store, tierOf, inUse, clock = systemClock, onError = () => {} } = deps;
  const time = createStoreClock(clock);
  const cap = createRateCap(settings.maxPollsPerSecond, clock);
  const states = new Map<string, PollState>();
  const pending = new Set<string>();
  const scopes = new WeakMap<PolledServer, Partial<Record<PollType, string>>>();
  const replica = crypto.randomUUID();
  const counts = { polls: 0, failures: 0, saved: 0, degraded: 0, capped: 0 };
  let serial = 0;

  const askClaims = createMicroBatch(async (requests: Parameters<PollStore["claim"]>[0]) => {
    // Not the questions are capped but the polls: what others polled meanwhile is asked for in vain.
    const limit = Math.min(requests.length, cap.available());
    cap.take(limit);
    let granted = 0;
    try {
      const { replies, now } = await store.claim(requests, limit);
      time.note(now);
      granted = replies.filter((reply) => reply.granted).length;
      if (granted === limit) counts.capped += replies.length - granted;
      return replies;
    } finally {
      cap.giveBack(limit - granted);
    }
  });
  const sendRecords = createMicroBatch(async (records: Parameters<PollStore["finish"]>[0]) => {
    const { states: after, now } = await store.finish(records);
    time.note(now);
    return after;
  });

  // Callers ask for the same servers several times a second; a hash costs more than all the rest.
  const scopeOf = (server: PolledServer, pollType: PollType) => {
    let known = scopes.get(server);
    if (known === undefined) {
      known = {};
      scopes.set(server, known);
    }
    known[pollType] ??= scopeKey(server, pollType);
    return known[pollType];
  };

  const remember = (scope: string, state: PollState) => {
    states.delete(scope);
    states.set(scope, state);
    if (states.size > settings.maxScopes)
      for (const oldest of states.keys()) if (states.delete(oldest)) break;
  };
  const recall = (scope: string) => states.get(scope) ?? neverPolled();

  const paceOf = (server: PolledServer, pollType: PollType, scope: string, state: PollState): Pace => {
    const facts = { tier: tierOf?.(server.id), inUse: inUse?.(server.id) ?? false };
    const plain = plainInterval(server, pollType, facts, settings);
    return {
      intervalMs: spreadInterval(plain, scope, state, settings),
      maxPauseMs: settings.failureMaxMs,
    };
  };

  const decideAlone = (scope: string, token: string, pace: Pace): boolean => {
    const state = recall(scope);
    const now = time.now();
    // Replicas that cannot talk to each other should at least not poll in the same moment.
    const apart = pace.intervalMs * (1 + settings.jitter * unitHash(scope + replica));
    const due = dueAt(state, { ...pace, intervalMs: apart }, now) <= now;
    if (!due || isClaimed(state, settings.claimMs, now)) return false;
    if (cap.available() < 1) {
      counts.capped++;
      return false;
    }
    cap.take(1);
    counts.degraded++;
    remember(scope, { ...state, claimedAt: now, heldAt: now, holder: token });
    return true;
  };

  const end = async (claim: PollClaim, ending: PollEnding) => {
    const scope = scopeOf(claim.server, claim.pollType);
    const state = { ...recall(scope) };
    endPoll(state, ending, time.now());
    remember(scope, state);
    try {
      remember(scope, await sendRecords({ scope, ending }));
    } catch (error) {
      onError(error);
    }
  };

  const due = (server: PolledServer, pollType: PollType, scope: string) => {
    const state = recall(scope);
    const now = time.now();
    const pace = paceOf(server, pollType, scope, state);
    const at = dueAt(state, pace, now);
    return { state, now, pace, at, due: at <= now && !isClaimed(state, settings.claimMs, now) };
  };

  return {
    shouldPoll(server, pollType) {
      const scope = scopeOf(server, pollType);
      return !pending.has(scope) && due(server, pollType, scope).due;
    },
    async claim(server, pollType) {
      const scope = scopeOf(server, pollType);
      const { due: isDue, state, pace } = due(server, pollType, scope);
      if (!isDue || pending.has(scope)) return undefined;
      const token = `${replica}:${++serial}`;
      pending.add(scope);
      try {
        const reply = await askClaims({
          scope,
          token,
          pace,
          claimMs: settings.claimMs,
          known: state,
        });
        remember(scope, reply.state);
        return reply.granted ? { server, pollType, token, degraded: false } : undefined;
      } catch (error) {
        onError(error);
        return decideAlone(scope, token, pace) ? { server, pollType, token, degraded: true } : undefined;
      } finally {
        pending.delete(scope);
      }
    },
    async renew(claim) {
      await end(claim, { kind: "renewed", token: claim.token });
      return recall(scopeOf(claim.server, claim.pollType)).holder === claim.token;
    },
    async complete(claim, { ttlMs = 0 } = {}) {
      const { last } = recall(scopeOf(claim.server, claim.pollType));
      const now = time.now();
      const base = claim.server.intervalMs ?? settings.refreshIntervalMs;
      if (believedLast(last, now) > 0) counts.saved += Math.max(0, (now - last) / base - 1);
      counts.polls++;
      const honoured = Number.isFinite(ttlMs) ? Math.min(Math.max(0, ttlMs), settings.maxTtlMs) : 0;
      await end(claim, { kind: "completed", token: claim.token, ttlMs: honoured });
    },
    async abandon(claim, { failed = false, postponed = false } = {}) {
      const { failureBaseMs: baseMs, failureMaxMs: maxMs } = settings;
      const pauseMs = postponed ? Math.min(baseMs, maxMs) : 0;
      if (!failed) return end(claim, { kind: "abandoned", token: claim.token, pauseMs });
      counts.failures++;
      return end(claim, { kind: "failed", token: claim.token, baseMs, maxMs });
    },
    async listChanged(server, pollType = "tool_discovery") {
      const ending = { kind: "forced", debounceMs: settings.debounceMs } as const;
      await end({ server, pollType, token: "", degraded: false }, ending);
    },
    explain(server, pollType) {
      const facts = due(server, pollType, scopeOf(server, pollType));
      return {
        pollType,
        due: facts.due,
        dueAt: facts.at,
        intervalMs: facts.pace.intervalMs,
        lastPolledAt: believedLast(facts.state.last, facts.now),
        failures: facts.state.failures,
        why: explainDue(facts, tierOf?.(server.id)),
      };
    },
    stats: () => ({ ...counts, scopes: states.size }),
  };
}

function explainDue(
  { state, now, at }: { readonly state: PollState; readonly now: number; readonly at: number },
  tier: Tier | undefined,
): string {
  if (at > now && at === state.retryAt) {
    return state.failures > 0
      ? `failed ${state.failures} times in a row, waits`
      : "could not be asked, waits";
  }
  if (believedLast(state.last, now) === 0) return "never polled";
  if (state.forcedAt > 0) return "the server announced a change";
  if (state.ttlMs > 0) return "the server said how long its list holds";
  return tier === undefined ? "not classified, so not slowed" : `interval of a ${tier} server`;
}
