import { RetryError } from "@gatewright/retry-backoff";
import { isSessionPoolError } from "@gatewright/session-pool";

/**
 * Whether a failure says nothing against an upstream, since it was not asked: its sessions are all busy with calls, or
 * this process is stopping.
 */
export function wasNotAsked(error: unknown): boolean {
  if (RetryError.is(error)) return error.code === "shutdown";
  if (!isSessionPoolError(error)) return false;
  return error.code === "acquire_timeout" || error.code === "pool_capacity" || error.code === "pool_closed";
}
