import { FRESH, type Step } from "../algorithms/algorithm.ts";
import { type Clock, systemClock } from "../clock.ts";
import {
  allowUncharged,
  type Decision,
  decide,
  type Receipt,
  refuseSole,
  SoleDecision,
  type Verdict,
} from "../decision.ts";
import { RateLimiterError } from "../errors.ts";
import type { Mode } from "../mode.ts";
import type { Charge, Rule } from "../rule.ts";
import type { CheckRequest, LimiterStore, StoreStats, WipeScope } from "../store.ts";
import { Evictor } from "./evictor.ts";
import { KeyTable } from "./key-table.ts";
import { KeyWipes } from "./key-wipes.ts";
import { RecentIds } from "./recent-ids.ts";
import { RuleNumbers } from "./rule-numbers.ts";
import { WipeMarks } from "./wipe-marks.ts";

/** Options of the memory store. */
export interface MemoryStoreOptions {
  /**
   * Most counters kept, default 100 000. When it is full, a new key takes the place of an expired one or else
   * of the one among 16 that expires soonest; that key starts afresh (counted in `stats().evicted`).
   */
  readonly maxKeys?: number;
}

/** What the memory store needs from its host. */
export interface MemoryStoreDeps {
  readonly clock?: Clock;
  /** Seeds the hash, so that nobody can choose ids that collide. Default `Math.random`. */
  readonly random?: () => number;
}

const DEDUPE_MS = 60_000;
const MAX_DEDUPE_IDS = 100_000;
const MAX_TENANT_MARKS = 1_000;
const MAX_KEY_WIPES = 10_000;

/** Creates a bounded store in this process. It may serve several limiters and outlives their reloads. */
export function createMemoryStore(options: MemoryStoreOptions = {}, deps: MemoryStoreDeps = {}): MemoryStore {
  const maxKeys = options.maxKeys ?? 100_000;
  if (!Number.isSafeInteger(maxKeys) || maxKeys < 16) {
    throw new RateLimiterError("validation_failed", `maxKeys: ${maxKeys} must be a whole number from 16`, {
      details: { path: "maxKeys" },
    });
  }
  return new MemoryStore(maxKeys, deps.clock ?? systemClock, deps.random ?? Math.random);
}

/** Counters in a {@link KeyTable}; every method is synchronous. Make one with {@link createMemoryStore}. */
export class MemoryStore implements LimiterStore {
  readonly remote = false;
  readonly #maxKeys: number;
  readonly #clock: Clock;
  readonly #table: KeyTable;
  readonly #marks = new WipeMarks();
  readonly #keyWipes = new KeyWipes(MAX_KEY_WIPES);
  readonly #rules = new RuleNumbers();
  readonly #evictor: Evictor;
  readonly #recent = new RecentIds(DEDUPE_MS, MAX_DEDUPE_IDS);

  constructor(maxKeys: number, clock: Clock, random: () => number) {
    this.#maxKeys = maxKeys;
    this.#clock = clock;
    this.#table = new KeyTable(Math.floor(random() * 0x1_0000_0000));
    this.#evictor = new Evictor(this.#table, this.#rules, this.#marks, maxKeys);
  }

  check(request: CheckRequest): Decision {
    if (request.mode === "disabled") return allowUncharged("disabled", 0, 0);
    const now = this.#clock.now();
    if (request.dedupeId !== undefined && !request.peek)
      return this.#checkOnce(request, request.dedupeId, now);
    return this.#decide(request.tenant, request.charges, request.mode, now, request.peek ? 0 : request.cost);
  }

  /**
   * {@link check} of one rule at cost 1 and nothing else asked for: the shortest way, because most checks take it. It is in
   * two halves, because V8 makes one function of a caller and all it calls up to a size, and the whole is above that.
   */
  checkSole(tenant: string | undefined, rule: Rule, id: string): Decision {
    const now = this.#clock.now();
    const number = this.#rules.of(rule);
    let slot = this.#table.find(number, tenant, id);
    if (slot < 0) slot = this.#insert(number, tenant, id, now);
    return this.#checkAt(slot, now, tenant, rule, id);
  }

  refund(receipt: Receipt): void {
    if (receipt.wipeSeq < this.#marks.oldestCharge(receipt.tenant)) return;
    const now = this.#clock.now();
    for (const { rule, id } of receipt.charges) {
      const number = this.#rules.of(rule);
      if (receipt.wipeSeq < this.#keyWipes.oldest(number, receipt.tenant, id)) continue;
      const slot = this.#table.find(number, receipt.tenant, id);
      if (slot < 0) continue;
      const state = this.#table.load(slot, this.#marks.oldest(receipt.tenant));
      const refunded = rule.algorithm.refund(rule, state, now, receipt.cost, receipt.at);
      this.#table.save(slot, refunded, this.#marks.current);
    }
  }

  wipe(scope: WipeScope): void {
    switch (scope.scope) {
      case "all":
        this.#marks.wipeAll();
        return;
      case "tenant":
        if (this.#marks.tenants >= MAX_TENANT_MARKS) {
          this.#evictor.removeWiped();
          this.#marks.forgetTenants();
        }
        this.#marks.wipeTenant(scope.tenant);
        return;
      case "key": {
        const wipe = this.#marks.next();
        for (const { rule, id } of scope.charges) {
          const number = this.#rules.of(rule);
          this.#keyWipes.add(number, scope.tenant, id, wipe);
          const slot = this.#table.find(number, scope.tenant, id);
          if (slot >= 0) this.#table.remove(slot);
        }
      }
    }
  }

  stats(): StoreStats {
    return {
      kind: "memory",
      keys: this.#table.size,
      maxKeys: this.#maxKeys,
      evicted: this.#evictor.evicted,
      swept: this.#evictor.swept,
    };
  }

  /** Nothing to close: no timers, no connections. Counters stay for the next limiter. */
  close(): void {}

  /** The second half of {@link checkSole}: charges the key in a slot. */
  #checkAt(slot: number, now: number, tenant: string | undefined, rule: Rule, id: string): Decision {
    const table = this.#table;
    const marks = this.#marks;
    const step = rule.algorithm.step(rule, table.load(slot, marks.oldest(tenant)), now, 1);
    const wipe = marks.current;
    if (step.changed) table.save(slot, step, wipe);
    const { name, kind, limit, windowMs } = rule;
    const { allowed, remaining, resetMs, retryAfterMs } = step;
    if (allowed) {
      const verdict = { rule: name, kind, limit, windowMs, remaining, resetMs, allowed, retryAfterMs: 0 };
      return new SoleDecision(verdict, { rule, id, tenant, at: now, wipeSeq: wipe, store: this });
    }
    const waitMs = retryAfterMs < 0 ? null : retryAfterMs;
    return refuseSole({
      rule: name,
      kind,
      limit,
      windowMs,
      remaining,
      resetMs,
      allowed,
      retryAfterMs: waitMs,
    });
  }

  #checkOnce(request: CheckRequest, dedupeId: string, now: number): Decision {
    const id = `${request.tenant ?? ""}\n${dedupeId}`;
    const { tenant, charges, mode } = request;
    if (this.#recent.has(id, now)) return this.#decide(tenant, charges, mode, now, 0);
    const decision = this.#decide(tenant, charges, mode, now, request.cost);
    if (decision.code === "allowed") this.#recent.add(id, now);
    return decision;
  }

  #decide(
    tenant: string | undefined,
    charges: readonly Charge[],
    mode: Mode,
    now: number,
    cost: number,
  ): Decision {
    const oldest = this.#marks.oldest(tenant);
    const only = charges[0];
    const verdicts =
      charges.length === 1 && only !== undefined
        ? [this.#checkOne(tenant, only, now, cost, oldest)]
        : this.#checkAll(tenant, charges, now, cost, oldest);
    const charged = cost > 0 && verdicts[0]?.allowed === true;
    const receipt = charged ? this.#receipt(tenant, charges, cost, now) : undefined;
    return decide(verdicts, mode, 0, 0, receipt);
  }

  #checkOne(tenant: string | undefined, charge: Charge, now: number, cost: number, oldest: number): Verdict {
    const { rule, id } = charge;
    const number = this.#rules.of(rule);
    const slot = this.#table.find(number, tenant, id);
    const state = slot < 0 ? FRESH : this.#table.load(slot, oldest);
    const step = rule.algorithm.step(rule, state, now, cost);
    if (cost > 0 && step.changed) {
      const at = slot >= 0 ? slot : this.#insert(number, tenant, id, now);
      this.#table.save(at, step, this.#marks.current);
    }
    return toVerdict(rule, step);
  }

  #checkAll(
    tenant: string | undefined,
    charges: readonly Charge[],
    now: number,
    cost: number,
    oldest: number,
  ): Verdict[] {
    const verdicts: Verdict[] = [];
    const pending: { slot: number; number: number; step: Step }[] = [];
    let passes = true;
    for (const { rule, id } of charges) {
      const number = this.#rules.of(rule);
      const slot = this.#table.find(number, tenant, id);
      const state = slot < 0 ? FRESH : this.#table.load(slot, oldest);
      const step = rule.algorithm.step(rule, state, now, cost);
      if (!step.allowed) passes = false;
      pending.push({ slot, number, step });
    }
    for (let i = 0; i < charges.length; i++) {
      const { rule, id } = charges[i] as Charge;
      const { slot, number, step } = pending[i] as (typeof pending)[number];
      if (!passes && step.allowed) {
        const state = slot < 0 ? FRESH : this.#table.load(slot, oldest);
        verdicts.push(toVerdict(rule, rule.algorithm.step(rule, state, now, 0)));
        continue;
      }
      if (cost > 0 && step.changed) {
        // A key written before may have been evicted by one of this very check.
        const kept = slot >= 0 && this.#table.isAt(slot, number, tenant, id);
        const at = kept ? slot : this.#insert(number, tenant, id, now);
        this.#table.save(at, step, this.#marks.current);
      }
      verdicts.push(toVerdict(rule, step));
    }
    return verdicts;
  }

  #insert(number: number, tenant: string | undefined, id: string, now: number): number {
    this.#evictor.makeRoom(now);
    return this.#table.insert(number, tenant, id);
  }

  #receipt(tenant: string | undefined, charges: readonly Charge[], cost: number, at: number): Receipt {
    const wipeSeq = this.#marks.current;
    return { tenant, charges, cost, at, wipeSeq, tenantWipeSeq: 0, store: this };
  }
}

function toVerdict(rule: Rule, step: Step): Verdict {
  return {
    rule: rule.name,
    kind: rule.kind,
    limit: rule.limit,
    windowMs: rule.windowMs,
    remaining: step.remaining,
    resetMs: step.resetMs,
    allowed: step.allowed,
    retryAfterMs: step.retryAfterMs < 0 ? null : step.retryAfterMs,
  };
}
