import { type Clock, systemClock } from "./clock.ts";
import { parseConfig } from "./config-issue.ts";
import { allowUncharged, type Decision, LEASES, RECEIPT } from "./decision.ts";
import { RateLimiterError } from "./errors.ts";
import { Fallback } from "./guard/fallback.ts";
import { Guard } from "./guard/guard.ts";
import { type LeaseBackend, LeaseBook, type LeaseOptions } from "./lease/lease-book.ts";
import { createMemoryStore, MemoryStore } from "./memory/memory-store.ts";
import type { Mode } from "./mode.ts";
import { type LimiterObserver, notify } from "./observer.ts";
import { limiterOptionsSchema, type RateLimiterOptions, type ResolvedOptions } from "./options.ts";
import { MAX_COUNT } from "./rate.ts";
import type { Rule } from "./rule.ts";
import { RuleSet } from "./rule-set.ts";
import type { LimiterStore, StoreStats, WipeScope } from "./store.ts";
import type { Subject } from "./subject.ts";

/** What a limiter needs from its host. */
export interface RateLimiterDeps {
  /** Where counters live. Default: a memory store of this limiter's own. The host closes what it passes in. */
  readonly store?: LimiterStore | undefined;
  readonly clock?: Clock | undefined;
  readonly observer?: LimiterObserver | undefined;
  /** How many live replicas share the limits, for the failure policy `local`. Default 1. */
  readonly replicas?: (() => number) | undefined;
}

/** What one check may say beside its subject. */
export interface CheckOptions {
  /** Tokens to take, a whole number from 1; default 1. */
  readonly cost?: number | undefined;
  /**
   * An id minted by the host (never by the client) for a call that may be checked twice: the second check of
   * an admitted call within 60 s charges nothing.
   */
  readonly dedupeId?: string | undefined;
  /** Ends the wait for a remote store; the check then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** The mode this process knows; a store with a control record decides under the record's. Default `enforce`. */
  readonly mode?: Mode | undefined;
  /** The wipe numbers (all, tenant) this process knows from the control record; leases under lower ones end. */
  readonly wipeSeq?: readonly [number, number] | undefined;
  /** The mode last known to be in force, for a decision without the store. Default `mode`. */
  readonly knownMode?: Mode | undefined;
}

/** What to wipe: everything, one tenant, or the counters of one subject. */
export type WipeTarget =
  | { readonly scope: "all" }
  | { readonly scope: "tenant"; readonly tenant: string }
  | { readonly scope: "key"; readonly subject: Subject };

/** Counts since the limiter was made, and those of its store. */
export interface LimiterStats {
  readonly allowed: number;
  readonly refused: number;
  readonly shadowRefused: number;
  readonly degraded: number;
  /** State of the breaker around a remote store; in a Cluster the worst of all lanes. */
  readonly breaker?: "closed" | "open" | "half_open";
  /** Leased counters held, checks decided from them, blocks asked for. */
  readonly leases?: { readonly held: number; readonly spent: number; readonly reserved: number };
  readonly store: StoreStats;
}

/** A rate limiter over one set of rules. Synchronous with a memory store, asynchronous with a remote one. */
export interface RateLimiter {
  /** Charges every rule that applies to the subject, or none of them when one refuses. */
  check(subject: Subject, options?: CheckOptions): Decision | Promise<Decision>;
  /** What `check` would say, without charging; `remaining` is what is left now. */
  peek(subject: Subject, options?: CheckOptions): Decision | Promise<Decision>;
  /** Gives back what a decision charged, once; does nothing for refused ones, later windows and after a wipe. */
  refund(decision: Decision): void | Promise<void>;
  /** Empties counters at once, whatever their number. */
  wipe(target: WipeTarget): void | Promise<void>;
  /**
   * To be called when the store was wiped by other means, such as a control record: empties what this process keeps
   * beside it, the counters of the failure policy `local` and leases.
   */
  wiped(target: WipeTarget): void;
  stats(): LimiterStats;
  /** Idempotent. Returns unspent leases; closes the store only when the limiter made it. */
  close(): void | Promise<void>;
}

/**
 * Creates a rate limiter.
 *
 * @throws RateLimiterError `validation_failed` naming the path, and for a misspelt key the nearest right one.
 */
export function createRateLimiter(options: RateLimiterOptions = {}, deps: RateLimiterDeps = {}): RateLimiter {
  const parsed = parseConfig(limiterOptionsSchema, options);
  const rules = new RuleSet(parsed.rules, parsed.algorithm);
  const store = deps.store ?? createMemoryStore({}, { clock: deps.clock ?? systemClock });
  const guard = guardFor(store, parsed, deps);
  const leases = guard && parsed.lease && leasesFor(store, guard, parsed.lease, parsed.timeoutMs);
  return new Limiter(rules, store, deps.store === undefined, guard, leases, deps.observer);
}

function guardFor(store: LimiterStore, options: ResolvedOptions, deps: RateLimiterDeps): Guard | undefined {
  if (!store.remote) return undefined;
  const local = createMemoryStore({ maxKeys: options.localMaxKeys }, { clock: deps.clock ?? systemClock });
  const fallback = new Fallback(options.failurePolicy, local, deps.replicas ?? (() => 1));
  return new Guard(store, fallback, options, deps.observer);
}

function leasesFor(store: LimiterStore, guard: Guard, options: LeaseOptions, timeoutMs: number): LeaseBook {
  const backend: LeaseBackend = {
    store,
    timeoutMs,
    ask: (request, signal) => guard.check(request, signal),
    degrade: (request) => guard.degrade(request),
  };
  return new LeaseBook(options, backend, () => performance.now());
}

class Limiter implements RateLimiter {
  readonly #rules: RuleSet;
  readonly #store: LimiterStore;
  /** A memory store and the one simple rule there is. */
  readonly #sole: { readonly store: MemoryStore; readonly rule: Rule } | undefined;
  readonly #ownsStore: boolean;
  readonly #guard: Guard | undefined;
  readonly #leases: LeaseBook | undefined;
  readonly #observer: LimiterObserver | undefined;
  readonly #refunded = new WeakSet<Decision>();
  #allowed = 0;
  #refused = 0;
  #shadowRefused = 0;
  #degraded = 0;

  constructor(
    rules: RuleSet,
    store: LimiterStore,
    ownsStore: boolean,
    guard: Guard | undefined,
    leases: LeaseBook | undefined,
    observer: LimiterObserver | undefined,
  ) {
    this.#rules = rules;
    this.#store = store;
    const rule = rules.only;
    this.#sole = store instanceof MemoryStore && rule !== undefined ? { store, rule } : undefined;
    this.#ownsStore = ownsStore;
    this.#guard = guard;
    this.#leases = leases;
    this.#observer = observer;
  }

  check(subject: Subject, options?: CheckOptions): Decision | Promise<Decision> {
    const sole = this.#sole;
    if (sole === undefined || options !== undefined) return this.#checkAny(subject, options);
    const id = this.#rules.idForOnly(subject);
    if (id === undefined) return this.#checkAny(subject, options);
    const decision = sole.store.checkSole(tenantOf(subject), sole.rule, id);
    if (decision.allowed) this.#allowed++;
    else this.#refused++;
    if (this.#observer !== undefined) tell(this.#observer, decision);
    return decision;
  }

  peek(subject: Subject, options?: CheckOptions): Decision | Promise<Decision> {
    return this.#ask(subject, options, true);
  }

  refund(decision: Decision): void | Promise<void> {
    if (this.#refunded.has(decision)) return;
    this.#refunded.add(decision);
    const spent = decision[LEASES];
    const returned = spent && this.#leases?.refund(spent.leases, spent.cost);
    const receipt = decision[RECEIPT];
    if (receipt === undefined || receipt.store !== this.#store) return returned;
    const refunded = this.#store.refund(receipt);
    return returned && refunded ? Promise.all([returned, refunded]).then(() => {}) : (returned ?? refunded);
  }

  wipe(target: WipeTarget): void | Promise<void> {
    const scope = this.#scopeOf(target);
    this.#guard?.wiped(scope);
    const wiped = this.#store.wipe(scope);
    const leases = this.#leases;
    // Also when it failed: who knows whether it was done.
    return leases && wiped ? wiped.finally(() => leases.wiped(scope)) : wiped;
  }

  wiped(target: WipeTarget): void {
    const scope = this.#scopeOf(target);
    this.#guard?.wiped(scope);
    this.#leases?.wiped(scope);
  }

  stats(): LimiterStats {
    return {
      allowed: this.#allowed,
      refused: this.#refused,
      shadowRefused: this.#shadowRefused,
      degraded: this.#degraded,
      ...(this.#guard && { breaker: this.#guard.breaker }),
      ...(this.#leases && { leases: this.#leases.stats() }),
      store: this.#store.stats(),
    };
  }

  close(): void | Promise<void> {
    const returned = this.#leases?.close();
    if (returned) return returned.then(() => (this.#ownsStore ? this.#store.close() : undefined));
    if (this.#ownsStore) return this.#store.close();
  }

  #scopeOf(target: WipeTarget): WipeScope {
    if (target.scope !== "key") return target;
    const { subject } = target;
    return { scope: "key", tenant: tenantOf(subject), charges: this.#rules.resolve(subject) };
  }

  #checkAny(subject: Subject, options: CheckOptions | undefined): Decision | Promise<Decision> {
    const decision = this.#ask(subject, options, false);
    return isPromise(decision) ? decision.then((settled) => this.#count(settled)) : this.#count(decision);
  }

  #ask(subject: Subject, options: CheckOptions | undefined, peek: boolean): Decision | Promise<Decision> {
    const charges = this.#rules.resolve(subject);
    const mode = options?.mode ?? "enforce";
    if (charges.length === 0) return allowUncharged(mode, 0, 0);
    const cost = options?.cost ?? 1;
    if (!Number.isSafeInteger(cost) || cost < 1 || cost > MAX_COUNT) throw invalidCost(cost);
    const request = {
      tenant: tenantOf(subject),
      charges,
      cost,
      mode,
      knownMode: options?.knownMode ?? mode,
      dedupeId: options?.dedupeId,
      wipeSeq: options?.wipeSeq,
      peek,
    };
    if (this.#leases?.serves(request)) return this.#leases.check(request, options?.signal);
    const guard = this.#guard;
    return guard === undefined ? this.#store.check(request) : guard.check(request, options?.signal);
  }

  #count(decision: Decision): Decision {
    if (!decision.allowed) this.#refused++;
    else this.#allowed++;
    if (decision.shadow) this.#shadowRefused++;
    if (decision.degraded !== undefined) this.#degraded++;
    if (this.#observer !== undefined) tell(this.#observer, decision);
    return decision;
  }
}

function tell(observer: LimiterObserver, decision: Decision): void {
  if (observer.onDecision) notify(() => observer.onDecision?.(decision));
}

function invalidCost(cost: number): RateLimiterError {
  const message = `cost: ${cost} must be a whole number from 1 to ${MAX_COUNT}`;
  return new RateLimiterError("validation_failed", message, { details: { path: "cost" } });
}

function tenantOf(subject: Subject): string | undefined {
  const tenant = subject.tenant;
  return tenant === undefined || tenant.trim() === "" ? undefined : tenant;
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown }).then === "function";
}
