import { SessionPoolError } from "../errors.ts";
import { networkCodeOf } from "../network-code.ts";
import { ownerUnreachable } from "./owner-unreachable.ts";
import type { SessionLocation } from "./session-location.ts";

/** Codes of connections that never came about: nothing was sent on them. */
const neverSent: ReadonlySet<string> = new Set([
  ...["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "ENOTFOUND", "EAI_AGAIN"],
  "UND_ERR_CONNECT_TIMEOUT",
]);

/**
 * The error to answer with when a request that was forwarded to the owner of a session got no answer:
 * `session_owner_unreachable` when it certainly never got there, else `outcome_unknown`, as it may have been executed.
 *
 * @param cause what the HTTP client failed with; its code, or that of its cause, decides
 */
export function forwardFailure(
  location: Extract<SessionLocation, { kind: "remote" }>,
  cause: unknown,
): SessionPoolError {
  if (neverSent.has(networkCodeOf(cause) ?? "")) return ownerUnreachable(location, cause);
  return new SessionPoolError(
    "outcome_unknown",
    "the replica that holds this session was lost during the request; whether it was executed is unknown",
    { cause, details: { owner: location.owner } },
  );
}
