import { SessionPoolError } from "../errors.ts";
import type { SessionLocation } from "./session-location.ts";

/** The error to answer with when the owner of a session does not answer: 503 with Retry-After (`retryAfterMs`). */
export function ownerUnreachable(
  location: Extract<SessionLocation, { kind: "remote" }>,
  cause?: unknown,
): SessionPoolError {
  const retryAfterMs = Math.max(1000, location.deadInMs);
  return new SessionPoolError(
    "session_owner_unreachable",
    "the replica that holds this session does not answer",
    {
      cause,
      details: { retryAfterMs, owner: location.owner },
    },
  );
}
