import { GatewayError } from "../errors.ts";
import type { UpstreamPool } from "../wiring/session-pool.ts";

/** Where an attempt gets its session. */
export type SessionSource = Pick<UpstreamPool, "tryAcquire" | "acquire">;

/** The sessions that are there and have room: a hedge is not worth a wait, and not a session of its own. */
export function spareSessions(pool: SessionSource): SessionSource {
  return {
    tryAcquire: (key, options) => pool.tryAcquire(key, options),
    acquire: () =>
      Promise.reject(new GatewayError("hedge_needs_session", "the session has no room for a second call")),
  };
}
