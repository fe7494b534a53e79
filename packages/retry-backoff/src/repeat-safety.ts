import type { CallError, CallOutcome } from "./call-outcome.ts";

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

function wasRefused({ phase, httpStatus }: CallError): boolean {
  const refused = httpStatus === 429 || httpStatus === 503;
  return phase === "not_sent" || phase === "refused" || (phase === "response_received" && refused);
}

/** True when the call was not executed (HTTP 429 and 503 say so too), or when executing it twice is harmless. */
export function mayRepeat(
  outcome: CallOutcome,
  { idempotencyKey, serverTrusted, annotations }: RepeatHints,
  repeatUnsafe: boolean,
): boolean {
  return (
    repeatUnsafe ||
    (outcome.kind === "error" && wasRefused(outcome)) ||
    Boolean(idempotencyKey) ||
    (serverTrusted === true && (annotations?.readOnlyHint === true || annotations?.idempotentHint === true))
  );
}
