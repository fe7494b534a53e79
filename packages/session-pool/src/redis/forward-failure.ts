import { SessionPoolError } from "../errors.ts";
import { networkCodeOf } from "../network-code.ts";
import { ownerUnreachable } from "./owner-unreachable.ts";
import type { SessionLocation } from "./session-location.ts";

/** Codes of connections that never came about: nothing was sent on them. */
const neverSent: ReadonlySet<string> = new Set([
  ...["ECONNREFUSED", "EADDRNOTAVAIL", "ENOTFOUND", "EAI_AGAIN"],
  "UND_ERR_CONNECT_TIMEOUT",
]);
/** Codes that may also end a connection which was in use; what the system was asked for tells. */
const unreachable: ReadonlySet<string> = new Set(["EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN"]);

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
  const code = networkCodeOf(cause) ?? "";
  if (neverSent.has(code) || (unreachable.has(code) && isOfConnect(cause))) {
    return ownerUnreachable(location, cause);
  }
  return new SessionPoolError(
    "outcome_unknown",
    "the replica that holds this session was lost during the request; whether it was executed is unknown",
    { cause, details: { owner: location.owner } },
  );
}

/** Whether a failure, what caused it, or the first of several that did, is one of connecting. */
function isOfConnect(error: unknown, depth = 0): boolean {
  if (depth === 5 || typeof error !== "object" || error === null) return false;
  const { syscall, cause, errors } = error as {
    syscall?: unknown;
    cause?: unknown;
    errors?: readonly unknown[];
  };
  return syscall === "connect" || isOfConnect(cause ?? errors?.[0], depth + 1);
}
