import type { SessionState } from "./session-location.ts";

/** A downstream session that this replica owns. */
export interface OwnedSession {
  readonly sessionId: string;
  readonly epoch: number;
  /** Keyed hash. */
  readonly principal: string;
  /** Monotonic time until which no other replica can have taken it over. */
  certainUntilMs: number;
  /** What the application kept when it claimed the session, or last. */
  state: SessionState;
  /** State and upstream ids, sealed. */
  sealed: string;
  /** How often this owner has written them. */
  rev: number;
  /** Whether Redis said that it has them. */
  saved: boolean;
  /** Ended while Redis was out of reach: it is told with the next beat. */
  ending?: boolean;
}
