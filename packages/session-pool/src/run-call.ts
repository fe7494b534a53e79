import { SessionPoolError } from "./errors.ts";
import type { Lease } from "./lease.ts";
import type { SessionFault } from "./session-factory.ts";

/** What {@link runCall} needs of a pool. */
export interface CallPool<S> {
  acquire(): Promise<Lease<S>>;
  classify(error: unknown): SessionFault;
}

/**
 * Runs a call on a lease and heals it once: when the session turns out to be lost or its credentials refused, the
 * session is evicted, a new one is opened, and the call is made once more, but only if it was not executed or
 * `repeatable` says that it may be. Otherwise the outcome is unknown and the error says so.
 */
export async function runCall<S, T>(
  pool: CallPool<S>,
  call: (session: S, attempt: number) => Promise<T>,
  repeatable: boolean,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const lease = await pool.acquire();
    try {
      const result = await call(lease.session, attempt);
      lease.release("ok");
      return result;
    } catch (error) {
      const fault = pool.classify(error);
      lease.fail(error);
      const lost = fault.kind === "session_lost";
      const notExecuted = fault.executed === false || fault.kind === "unauthorized";
      const healable = lost || fault.kind === "unauthorized";
      if (attempt === 1 && healable && (notExecuted || repeatable)) continue;
      if (lost && !notExecuted && !repeatable) {
        throw new SessionPoolError(
          "outcome_unknown",
          "the session was lost; whether the call was executed is unknown",
          {
            cause: error,
            details: { serverId: lease.key.serverId },
          },
        );
      }
      throw error;
    }
  }
}
