import type { ModeAuthority, OutcomeExtras, Violation } from "@gatewright/plugin-framework";
import type { Decision } from "../decision.ts";
import { decisive, toHeaders } from "../http/to-headers.ts";

/** What the plugin's hooks answer, whatever the payload of the hook. */
export type LimiterOutcome = OutcomeExtras & { readonly block?: Violation };

/** Turns a decision into the outcome of a hook: headers when it allows, a violation when it refuses. */
export function toOutcome(decision: Decision, fenced: boolean): LimiterOutcome | undefined {
  const authority = fenced && readsRecord(decision) ? authorityOf(decision) : undefined;
  const extras: OutcomeExtras = authority === undefined ? {} : { authority };
  if (decision.allowed && !decision.shadow) {
    if (decision.verdicts.length === 0) return authority === undefined ? undefined : extras;
    const headers = toHeaders(decision);
    return authority === undefined ? { headers } : { authority, headers };
  }
  return { ...extras, block: violation(decision) };
}

/** Was this decided in the store, under its control record? Not so without rules, from a lease, or degraded. */
function readsRecord({ degraded, leased, verdicts, recordRead }: Decision): boolean {
  return degraded === undefined && !leased && (verdicts.length > 0 || recordRead === true);
}

function authorityOf(decision: Decision): ModeAuthority {
  return { mode: decision.mode, rev: decision.rev, tenantRev: decision.tenantRev };
}

function violation(decision: Decision): Violation {
  const headers = toHeaders({ ...decision, allowed: false });
  if (decision.code === "backend_unavailable") {
    return {
      reason: "rate limiter unavailable",
      description: "The rate limiter's store did not answer and the policy is to refuse.",
      code: "backend_unavailable",
      details: { retryAfterMs: decision.retryAfterMs },
      httpStatus: 503,
      mcpErrorCode: -31002,
      headers,
    };
  }
  const refused = decisive(decision);
  const rules = decision.verdicts.filter((verdict) => !verdict.allowed);
  return {
    reason: decision.code === "cost_exceeds_limit" ? "cost exceeds the limit" : "rate limit exceeded",
    description:
      decision.retryAfterMs === null
        ? `The call costs more than rule ${refused?.rule} ever allows.`
        : `Rule ${refused?.rule} allows ${refused?.limit} per ${(refused?.windowMs ?? 0) / 1_000} s; try again in ${Math.ceil(decision.retryAfterMs / 1_000)} s.`,
    code: decision.code,
    details: {
      rule: refused?.rule,
      ...(decision.retryAfterMs === null ? {} : { retryAfterMs: decision.retryAfterMs }),
      rules: rules.map(({ rule, kind, retryAfterMs }) => ({ rule, kind, retryAfterMs })),
    },
    httpStatus: 429,
    mcpErrorCode: -31001,
    headers,
  };
}
