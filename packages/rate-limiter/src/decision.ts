import type { Lease } from "./lease/lease.ts";
import type { Mode } from "./mode.ts";
import type { Charge } from "./rule.ts";

/** What one rule said. */
export interface Verdict {
  /** The rule's name, as in the configuration. */
  readonly rule: string;
  /** What the rule counts by, for example `user` or `user+tool`; never the value. */
  readonly kind: string;
  /** Tokens per window. */
  readonly limit: number;
  readonly windowMs: number;
  /** Whole tokens left after this check. */
  readonly remaining: number;
  /** Milliseconds until the whole limit is free again, without other traffic. */
  readonly resetMs: number;
  readonly allowed: boolean;
  /** 0 when this rule allows; null when the cost can never pass. */
  readonly retryAfterMs: number | null;
}

/** Why a decision is what it is. */
export type DecisionCode = "allowed" | "rate_limited" | "cost_exceeds_limit" | "backend_unavailable";

/** The key under which a decision remembers what it charged; opaque, for `refund`. */
export const RECEIPT: unique symbol = Symbol("receipt");

/** The key under which a decision made from leased tokens remembers them; opaque, for `refund`. */
export const LEASES: unique symbol = Symbol("leases");

/** What a decision charged. */
export interface Receipt {
  readonly tenant: string | undefined;
  readonly charges: readonly Charge[];
  readonly cost: number;
  /** The store's time of the charge, ms. */
  readonly at: number;
  /** The wipe numbers (all, tenant) the charge was written under. */
  readonly wipeSeq: number;
  readonly tenantWipeSeq: number;
  /** The store that was charged. */
  readonly store: object;
}

/** The outcome of a check over all rules that apply: all of them are charged, or none. */
export interface Decision {
  readonly allowed: boolean;
  readonly code: DecisionCode;
  /**
   * 0 when every rule allows. Else the milliseconds until all refusing rules would pass, rounded up and
   * without other traffic; null when waiting never helps.
   */
  readonly retryAfterMs: number | null;
  readonly verdicts: readonly Verdict[];
  /** The mode this was decided under. */
  readonly mode: Mode;
  /** Revision of the control record it was decided under; 0 without one. */
  readonly rev: number;
  /** Revision of the tenant's own record; 0 without one. */
  readonly tenantRev: number;
  /** True under `permissive` when `enforce` would have refused; `code` and `retryAfterMs` tell the refusal. */
  readonly shadow: boolean;
  /** Set when the store did not answer and a failure policy decided. */
  readonly degraded?: "open" | "closed" | "local";
  /** True when it was made from leased tokens, without asking the store. */
  readonly leased?: boolean;
  /** True when a store that reads control records found the limiter disabled, and so has no verdicts. */
  readonly recordRead?: boolean;
  readonly [RECEIPT]?: Receipt | undefined;
  readonly [LEASES]?: { readonly leases: readonly Lease[]; readonly cost: number };
}

/** Assembles a decision from the verdicts of all rules. */
export function decide(
  verdicts: readonly Verdict[],
  mode: Mode,
  rev: number,
  tenantRev: number,
  receipt: Receipt | undefined,
): Decision {
  let retryAfterMs: number | null = 0;
  let passes = true;
  for (let i = 0; i < verdicts.length; i++) {
    const verdict = verdicts[i];
    if (verdict === undefined || verdict.allowed) continue;
    passes = false;
    if (verdict.retryAfterMs === null) retryAfterMs = null;
    else if (retryAfterMs !== null && verdict.retryAfterMs > retryAfterMs)
      retryAfterMs = verdict.retryAfterMs;
  }
  const code = passes ? "allowed" : retryAfterMs === null ? "cost_exceeds_limit" : "rate_limited";
  const permissive = mode === "permissive";
  return new DecisionRecord(
    passes || permissive,
    code,
    retryAfterMs,
    verdicts,
    mode,
    rev,
    tenantRev,
    !passes && permissive,
    passes ? receipt : undefined,
  );
}

const NO_VERDICTS: readonly Verdict[] = [];

/** A decision that allows without having charged anything: no rule applies, or the limiter is disabled. */
export function allowUncharged(mode: Mode, rev: number, tenantRev: number): Decision {
  return new DecisionRecord(true, "allowed", 0, NO_VERDICTS, mode, rev, tenantRev, false, undefined);
}

/** {@link decide} for one rule that refuses under `enforce` in a store without control records. */
export function refuseSole(verdict: Verdict): Decision {
  const wait = verdict.retryAfterMs;
  const code = wait === null ? "cost_exceeds_limit" : "rate_limited";
  return new DecisionRecord(false, code, wait, [verdict], "enforce", 0, 0, false, undefined);
}

/** What a {@link SoleDecision} charged: one token of one counter. */
interface SoleCharge extends Charge {
  readonly tenant: string | undefined;
  readonly at: number;
  readonly wipeSeq: number;
  readonly store: object;
}

/** {@link decide} for one rule that allows one token, likewise. Its receipt is written only when it is asked for. */
export class SoleDecision implements Decision {
  declare readonly allowed: true;
  declare readonly code: "allowed";
  declare readonly retryAfterMs: 0;
  declare readonly verdicts: readonly Verdict[];
  declare readonly mode: "enforce";
  declare readonly rev: 0;
  declare readonly tenantRev: 0;
  declare readonly shadow: false;
  readonly #charge: SoleCharge;

  constructor(verdict: Verdict, charge: SoleCharge) {
    this.allowed = true;
    this.code = "allowed";
    this.retryAfterMs = 0;
    this.verdicts = [verdict];
    this.mode = "enforce";
    this.rev = 0;
    this.tenantRev = 0;
    this.shadow = false;
    this.#charge = charge;
  }

  get [RECEIPT](): Receipt {
    const { tenant, rule, id, at, wipeSeq, store } = this.#charge;
    return { tenant, charges: [{ rule, id }], cost: 1, at, wipeSeq, tenantWipeSeq: 0, store };
  }
}

/**
 * A class only so that making one is fast: object literals with computed keys are not, nor are class fields, which
 * is why they are only declared.
 */
class DecisionRecord implements Decision {
  declare readonly allowed: boolean;
  declare readonly code: DecisionCode;
  declare readonly retryAfterMs: number | null;
  declare readonly verdicts: readonly Verdict[];
  declare readonly mode: Mode;
  declare readonly rev: number;
  declare readonly tenantRev: number;
  declare readonly shadow: boolean;
  declare readonly [RECEIPT]: Receipt | undefined;

  constructor(
    allowed: boolean,
    code: DecisionCode,
    retryAfterMs: number | null,
    verdicts: readonly Verdict[],
    mode: Mode,
    rev: number,
    tenantRev: number,
    shadow: boolean,
    receipt: Receipt | undefined,
  ) {
    this.allowed = allowed;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
    this.verdicts = verdicts;
    this.mode = mode;
    this.rev = rev;
    this.tenantRev = tenantRev;
    this.shadow = shadow;
    this[RECEIPT] = receipt;
  }
}
