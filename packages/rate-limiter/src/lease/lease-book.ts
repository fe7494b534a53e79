import { type Decision, decide, LEASES, RECEIPT, type Receipt, type Verdict } from "../decision.ts";
import { DeadlineQueue } from "../guard/deadline-queue.ts";
import type { Charge } from "../rule.ts";
import type { CheckRequest, LimiterStore, WipeScope } from "../store.ts";
import {
  type Fence,
  keyOf,
  type Lease,
  localVerdict,
  outdated,
  sameFence,
  untilWindowEnds,
} from "./lease.ts";
import { orAborted } from "./or-aborted.ts";

/** Options of leased tokens. */
export interface LeaseOptions {
  /** Tokens reserved at a time, for each counter. */
  readonly size: number;
  /** How long a reserved block may be spent, ms; ends with the window if that is sooner. */
  readonly ttlMs: number;
}

/** How the book asks: through the deadline, the breaker and the failure policy. */
export interface LeaseBackend {
  readonly store: LimiterStore;
  /** The longest that a check may take, with all that it waits for, ms. */
  readonly timeoutMs: number;
  ask(request: CheckRequest, signal: AbortSignal | undefined): Decision | Promise<Decision>;
  /** Decides without the store. */
  degrade(request: CheckRequest): Decision;
}

/** A check that is not decided at once: since when (monotonic ms), and whether its deadline has passed. */
interface Turn {
  readonly startedAt: number;
  over: boolean;
}

/** A local decision is as good as the control record it is based on: no older than this, ms. */
const CONTROL_LEASE_MS = 1_000;
/** A limit must hold this many blocks, or a block would starve the other replicas. */
const LEAST_BLOCKS = 10;
const MOST_LEASES = 10_000;
const MOST_FENCES = 10_000;
const MOST_ROUNDS = 4;

/**
 * Spends tokens that were reserved in blocks. The store has charged them already, in their window, so nothing is
 * ever over-admitted; what a replica holds unspent, the others cannot use meanwhile. A check spends locally only
 * when all its counters hold a live lease and the control records they were granted under still stand.
 */
export class LeaseBook {
  readonly #options: LeaseOptions;
  readonly #backend: LeaseBackend;
  readonly #deadlines: DeadlineQueue;
  readonly #now: () => number;
  readonly #leases = new Map<string, Lease>();
  readonly #fences = new Map<string, Fence>();
  /** Reservations under way, by counter, so that a crowd makes one. */
  readonly #pending = new Map<string, Promise<Decision>>();
  /** Those of them that were wiped meanwhile. */
  readonly #overtaken = new Set<string>();
  /** Counters too empty for a block, until when. */
  readonly #dry = new Map<string, number>();
  /** How long the last reservation took that was answered, ms. */
  #lastMs = 0;
  #spent = 0;
  #reserved = 0;
  #closed = false;

  constructor(options: LeaseOptions, backend: LeaseBackend, now: () => number) {
    this.#options = options;
    this.#backend = backend;
    this.#deadlines = new DeadlineQueue(backend.timeoutMs);
    this.#now = now;
  }

  stats(): { readonly held: number; readonly spent: number; readonly reserved: number } {
    return { held: this.#leases.size, spent: this.#spent, reserved: this.#reserved };
  }

  /** May this check be served from leases? Others go to the store as they are. */
  serves(request: CheckRequest): boolean {
    if (this.#closed || request.peek || request.dedupeId !== undefined || request.cost > this.#options.size)
      return false;
    return request.charges.every(({ rule }) => rule.limit >= LEAST_BLOCKS * this.#options.size);
  }

  check(request: CheckRequest, signal: AbortSignal | undefined): Decision | Promise<Decision> {
    const decision = this.#spend(request);
    if (decision) return decision;
    const turn = { startedAt: this.#now(), over: false };
    return this.#deadlines.race(this.#reserveOrWait(request, signal, turn), () => {
      turn.over = true;
      return this.#backend.degrade(request);
    });
  }

  /** Gives back tokens of a local decision: to the lease while it lives, else to the store. */
  refund(leases: readonly Lease[], cost: number): void | Promise<void> {
    const ended = leases.filter((lease) => !lease.live);
    for (const lease of leases) if (lease.live) lease.tokens += cost;
    return settleAll(ended.map((lease) => this.#return(lease, cost)));
  }

  /**
   * To be called after a wipe: drops what was reserved before it, and what may have been, at most a block too much.
   */
  wiped(scope: WipeScope): void {
    const reserved = [...this.#leases.keys(), ...this.#pending.keys()];
    for (const key of scope.scope === "key" ? scope.charges.map((c) => keyOf(scope.tenant, c)) : reserved) {
      if (scope.scope === "tenant" && !key.startsWith(`${scope.tenant}\n`)) continue;
      const lease = this.#leases.get(key);
      if (lease !== undefined) Object.assign(lease, { live: false, tokens: 0 });
      this.#leases.delete(key);
      if (this.#pending.has(key)) this.#overtaken.add(key);
    }
  }

  /** Returns everything unspent to the store, also what is being reserved; nothing more is reserved. */
  close(): void | Promise<void> {
    this.#closed = true;
    const endAll = () => settleAll([...this.#leases].map(([key, lease]) => this.#end(key, lease)));
    const ended = endAll();
    if (this.#pending.size === 0) return ended;
    return Promise.allSettled([ended, ...this.#pending.values()]).then(endAll);
  }

  #spend(request: CheckRequest): Decision | undefined {
    const fence = this.#fences.get(request.tenant ?? "");
    const now = this.#now();
    if (fence === undefined || now - fence.sentAt >= CONTROL_LEASE_MS || outdated(fence, request))
      return undefined;
    const leases: Lease[] = [];
    for (const charge of request.charges) {
      const lease = this.#held(keyOf(request.tenant, charge), fence, now);
      if (lease === undefined || lease.tokens < request.cost) return undefined;
      leases.push(lease);
    }
    const verdicts: Verdict[] = [];
    for (const lease of leases) {
      lease.tokens -= request.cost;
      verdicts.push(localVerdict(lease, now));
    }
    this.#spent++;
    const decision = decide(verdicts, fence.mode, fence.rev, fence.tenantRev, undefined);
    return { ...decision, leased: true, [LEASES]: { leases, cost: request.cost } };
  }

  /** The live lease of a counter; one that has ended is returned to the store. */
  #held(key: string, fence: Fence, now: number): Lease | undefined {
    const lease = this.#leases.get(key);
    if (lease === undefined) return undefined;
    if (now < lease.endsAt && sameFence(lease.fence, fence)) return lease;
    void this.#end(key, lease)?.catch(() => {});
    return undefined;
  }

  /** When the turn is over, another has decided: nothing more is taken then, and what this answers is not looked at. */
  async #reserveOrWait(
    request: CheckRequest,
    signal: AbortSignal | undefined,
    turn: Turn,
  ): Promise<Decision> {
    const keys = request.charges.map((charge) => keyOf(request.tenant, charge));
    let longestMs = this.#lastMs;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const underWay = keys.map((key) => this.#pending.get(key)).find((pending) => pending !== undefined);
      // It must leave time for a call of its own afterwards.
      if (underWay === undefined || !this.#hasTime(turn, 2 * longestMs)) break;
      const since = this.#now();
      const other = await orAborted(underWay, signal);
      if (turn.over) return other;
      if (other.degraded !== undefined) return this.#backend.degrade(request);
      longestMs = Math.max(longestMs, this.#now() - since);
      const decision = this.#spend(request);
      if (decision) return decision;
    }
    const now = this.#now();
    if (this.#closed || keys.some((key) => (this.#dry.get(key) ?? 0) > now || this.#pending.has(key)))
      return this.#ask(request, signal);
    const reservation = this.#reserve(request, keys);
    for (const key of keys) this.#pending.set(key, reservation);
    const cleared = reservation.finally(() => {
      for (const key of keys) {
        this.#pending.delete(key);
        this.#overtaken.delete(key);
      }
    });
    const decision = await orAborted(cleared, signal);
    const settled =
      decision[RECEIPT] !== undefined || decision.degraded !== undefined || decision.mode === "disabled";
    if (settled) return decision;
    this.#markDry(keys, now);
    return turn.over ? decision : this.#ask(request, signal);
  }

  #hasTime({ startedAt }: Turn, ms: number): boolean {
    return this.#now() - startedAt + ms <= this.#backend.timeoutMs;
  }

  /** One call that takes this check's cost and a new block for every counter that has too little left. */
  async #reserve(request: CheckRequest, keys: readonly string[]): Promise<Decision> {
    const { tenant, charges, cost } = request;
    const sentAt = this.#now();
    const fence = this.#fences.get(tenant ?? "");
    const usable = fence !== undefined && !outdated(fence, request);
    const held = keys.map((key) => (usable ? this.#held(key, fence, sentAt) : undefined));
    const costs = held.map((lease) => (lease && lease.tokens >= cost ? 0 : cost + this.#options.size));
    const used = held.filter((lease, i) => costs[i] === 0 && lease !== undefined) as Lease[];
    for (const lease of used) lease.tokens -= cost;
    this.#reserved++;
    const decision = await this.#ask({ ...request, costs }, undefined, sentAt);
    if (decision.degraded === undefined) this.#lastMs = this.#now() - sentAt;
    const receipt = decision[RECEIPT];
    const granted = this.#fences.get(tenant ?? "");
    if (receipt === undefined || granted === undefined) {
      for (const lease of used) lease.tokens += cost;
      return decision;
    }
    const verdicts = charges.map((charge, i) => {
      const verdict = decision.verdicts[i] as Verdict;
      const old = held[i];
      if (costs[i] === 0 && old !== undefined)
        return { ...verdict, remaining: verdict.remaining + old.tokens };
      const key = keys[i] as string;
      if (this.#overtaken.has(key)) return verdict;
      const lease = this.#grant(charge, { ...receipt, charges: [charge] }, granted, verdict, sentAt);
      this.#keep(key, lease);
      return { ...verdict, remaining: verdict.remaining + lease.tokens };
    });
    // What a lease paid for goes back there: the store may be in a later window, or wiped, and was not charged for it.
    const charged = charges.filter((_, i) => costs[i] !== 0);
    const spent = used.length > 0 && { [LEASES]: { leases: used, cost } };
    return { ...decision, verdicts, [RECEIPT]: { ...receipt, charges: charged }, ...spent };
  }

  #grant(charge: Charge, receipt: Receipt, fence: Fence, verdict: Verdict, sentAt: number): Lease {
    return {
      charge,
      receipt,
      fence,
      endsAt: sentAt + Math.min(this.#options.ttlMs, untilWindowEnds(verdict, charge)),
      remaining: verdict.remaining,
      resetAt: sentAt + verdict.resetMs,
      tokens: this.#options.size,
      live: true,
    };
  }

  #keep(key: string, lease: Lease): void {
    const old = this.#leases.get(key);
    if (old) void this.#end(key, old)?.catch(() => {});
    for (const [oldest, evicted] of this.#leases) {
      if (this.#leases.size < MOST_LEASES) break;
      void this.#end(oldest, evicted)?.catch(() => {});
    }
    this.#leases.set(key, lease);
  }

  #end(key: string, lease: Lease): void | Promise<void> {
    this.#leases.delete(key);
    lease.live = false;
    const unspent = lease.tokens;
    lease.tokens = 0;
    if (unspent > 0) return this.#return(lease, unspent);
  }

  /** The store ignores it when the window or a wipe number has moved. */
  #return(lease: Lease, tokens: number): void | Promise<void> {
    return this.#backend.store.refund({ ...lease.receipt, cost: tokens });
  }

  async #ask(
    request: CheckRequest,
    signal: AbortSignal | undefined,
    sentAt = this.#now(),
  ): Promise<Decision> {
    const decision = await this.#backend.ask(request, signal);
    const receipt = decision[RECEIPT];
    if (decision.degraded !== undefined) return decision;
    const { mode, rev, tenantRev } = decision;
    const key = request.tenant ?? "";
    const known = this.#fences.get(key);
    // Without a receipt the wipe numbers are not told, and nothing may be spent until a call tells them.
    if (receipt === undefined) {
      if (known && !(known.mode === mode && known.rev === rev && known.tenantRev === tenantRev))
        this.#fences.delete(key);
      return decision;
    }
    const { wipeSeq, tenantWipeSeq } = receipt;
    if (this.#fences.size >= MOST_FENCES && known === undefined) this.#fences.clear();
    if (known === undefined || sentAt >= known.sentAt) {
      this.#fences.set(key, { mode, rev, tenantRev, wipeSeq, tenantWipeSeq, sentAt });
    }
    return decision;
  }

  #markDry(keys: readonly string[], now: number): void {
    if (this.#dry.size + keys.length > MOST_LEASES) this.#dry.clear();
    for (const key of keys) this.#dry.set(key, now + this.#options.ttlMs);
  }
}

function settleAll(waits: readonly (void | Promise<void>)[]): void | Promise<void> {
  if (waits.length === 0) return;
  return Promise.allSettled(waits).then(() => {});
}
