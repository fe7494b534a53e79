import type { Decision, Receipt, Verdict } from "../decision.ts";
import type { Charge } from "../rule.ts";
import type { CheckRequest } from "../store.ts";

/** What a control record said when the store last answered for a tenant. */
export interface Fence {
  readonly mode: Decision["mode"];
  readonly rev: number;
  readonly tenantRev: number;
  readonly wipeSeq: number;
  readonly tenantWipeSeq: number;
  /** When the call that told it was sent; monotonic ms. */
  readonly sentAt: number;
}

/** Tokens of one counter that the store has charged and this process may spend. */
export interface Lease {
  readonly charge: Charge;
  readonly receipt: Receipt;
  readonly fence: Fence;
  /** Monotonic ms; not later than the end of the window. */
  readonly endsAt: number;
  /** What the store called left over, at the time of the grant. */
  readonly remaining: number;
  /** When the whole limit is free again; monotonic ms. */
  readonly resetAt: number;
  tokens: number;
  /** Whether it may still be spent; an ended lease has been returned. */
  live: boolean;
}

/** Do two answers come from the same control records? */
export function sameFence(a: Fence, b: Fence): boolean {
  return (
    a.mode === b.mode &&
    a.rev === b.rev &&
    a.tenantRev === b.tenantRev &&
    a.wipeSeq === b.wipeSeq &&
    a.tenantWipeSeq === b.tenantWipeSeq
  );
}

/** How long after sending a grant's window ends: the current one, which for two counters is not the reset. */
export function untilWindowEnds(verdict: Verdict, charge: Charge): number {
  const ahead = charge.rule.algorithm.name === "sliding_window" ? charge.rule.windowMs : 0;
  return verdict.resetMs - ahead;
}

/** Does this process know of a later mode or wipe than the fence? */
export function outdated(fence: Fence, { wipeSeq, knownMode }: CheckRequest): boolean {
  if (wipeSeq === undefined) return false;
  return knownMode !== fence.mode || wipeSeq[0] > fence.wipeSeq || wipeSeq[1] > fence.tenantWipeSeq;
}

/** What a rule says of a token that was spent from a lease. */
export function localVerdict(lease: Lease, now: number): Verdict {
  const { rule } = lease.charge;
  return {
    rule: rule.name,
    kind: rule.kind,
    limit: rule.limit,
    windowMs: rule.windowMs,
    remaining: lease.remaining + lease.tokens,
    resetMs: Math.max(0, Math.ceil(lease.resetAt - now)),
    allowed: true,
    retryAfterMs: 0,
  };
}

/** Names a counter. */
export function keyOf(tenant: string | undefined, { rule, id }: Charge): string {
  return `${tenant ?? ""}\n${rule.identity}\n${id}`;
}
