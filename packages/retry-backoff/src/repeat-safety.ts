import type { CallOutcome, CallPhase } from "./call-outcome.ts";

/** What is known about repeating a call. */
export interface RepeatHints {
  /** MCP tool annotations. They count only with `serverTrusted`. */
  readonly annotations?:
    | {
        readonly readOnlyHint?: boolean;
        readonly idempotentHint?: boolean;
        readonly destructiveHint?: boolean;
      }
    | undefined;
  /** Whether the operator trusts what this server says of itself. Default false. */
  readonly serverTrusted?: boolean | undefined;
  /** The key that was sent with the call, if any; the server then answers a repeat from memory. */
  readonly idempotencyKey?: string | undefined;
}

/** How far the call came; HTTP 429 and 503 count as refused, not executed. */
export function phaseOf(outcome: CallOutcome): CallPhase {
  if (outcome.kind === "result") return "response_received";
  const { phase, httpStatus } = outcome;
  return phase === "response_received" && (httpStatus === 429 || httpStatus === 503) ? "refused" : phase;
}

/** True when a second execution is harmless or impossible. */
export function mayRepeat(phase: CallPhase, hints: RepeatHints, repeatUnsafe: boolean): boolean {
  if (phase === "not_sent" || phase === "refused" || repeatUnsafe) return true;
  if (hints.idempotencyKey !== undefined && hints.idempotencyKey !== "") return true;
  if (hints.serverTrusted !== true) return false;
  return hints.annotations?.readOnlyHint === true || hints.annotations?.idempotentHint === true;
}

/**
 * The idempotency key to send: the client's own, else a fresh one where the server declares that it
 * honours keys, else none. Choose it once per call and send the same one with every attempt.
 */
export function idempotencyKeyFor(
  call: { readonly clientKey?: string | undefined; readonly serverHonoursKeys?: boolean | undefined },
  mint: () => string = () => globalThis.crypto.randomUUID(),
): string | undefined {
  return call.clientKey || (call.serverHonoursKeys ? mint() : undefined);
}
