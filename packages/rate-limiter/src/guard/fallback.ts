import { allowUncharged, type Decision, decide } from "../decision.ts";
import type { MemoryStore } from "../memory/memory-store.ts";
import type { Charge, Rule } from "../rule.ts";
import type { CheckRequest, WipeScope } from "../store.ts";

/** What decides when the store does not answer. */
export type FailurePolicy = "open" | "closed" | "local";

/** Milliseconds after which a client refused by policy `closed` should try again. */
const CLOSED_RETRY_MS = 1_000;

/** Decides without the store. The last known mode still holds: a disabled limiter never refuses. */
export class Fallback {
  readonly #policy: FailurePolicy;
  readonly #local: MemoryStore;
  readonly #replicas: () => number;
  readonly #known = new WeakMap<Rule, { readonly replicas: number; readonly rule: Rule }>();

  /** `replicas` tells how many live replicas share the limits under policy `local`. */
  constructor(policy: FailurePolicy, local: MemoryStore, replicas: () => number) {
    this.#policy = policy;
    this.#local = local;
    this.#replicas = replicas;
  }

  decide(request: CheckRequest): Decision {
    const mode = request.knownMode;
    if (mode === "disabled") return { ...allowUncharged(mode, 0, 0), degraded: this.#policy };
    switch (this.#policy) {
      case "open":
        return { ...allowUncharged(mode, 0, 0), degraded: "open" };
      case "closed":
        return {
          ...allowUncharged(mode, 0, 0),
          allowed: mode === "permissive",
          shadow: mode === "permissive",
          code: "backend_unavailable",
          retryAfterMs: CLOSED_RETRY_MS,
          degraded: "closed",
        };
      case "local": {
        const decision = this.#local.check({ ...request, mode, charges: this.#shares(request.charges) });
        return {
          ...(decision.retryAfterMs === null ? untilTheStore(decision, request) : decision),
          degraded: "local",
        };
      }
    }
  }

  /** Empties what was counted here. */
  wipe(scope: WipeScope): void {
    this.#local.wipe(scope.scope === "key" ? { ...scope, charges: this.#shares(scope.charges) } : scope);
  }

  #shares(charges: readonly Charge[]): Charge[] {
    const replicas = Math.max(1, Math.floor(this.#replicas()));
    return charges.map(({ rule, id }) => ({ rule: this.#share(rule, replicas), id }));
  }

  /** The rule with its limit divided by the replicas, at least 1. */
  #share(rule: Rule, replicas: number): Rule {
    const known = this.#known.get(rule);
    if (known?.replicas === replicas) return known.rule;
    const share = {
      ...rule,
      limit: Math.max(1, Math.floor(rule.limit / replicas)),
      burst: Math.max(1, Math.floor(rule.burst / replicas)),
    };
    this.#known.set(rule, { replicas, rule: share });
    return share;
  }
}

/** A cost above this replica's share alone will pass when the store is back: to try again in a window is right. */
function untilTheStore(decision: Decision, { charges, cost }: CheckRequest): Decision {
  const verdicts = decision.verdicts.map((verdict, i) => {
    const whole = charges[i]?.rule.burst ?? 0;
    return verdict.retryAfterMs === null && cost <= whole
      ? { ...verdict, retryAfterMs: verdict.windowMs }
      : verdict;
  });
  return decide(verdicts, decision.mode, decision.rev, decision.tenantRev, undefined);
}
