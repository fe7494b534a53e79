/** A downstream session that this replica owns. */
export interface OwnedSession {
  readonly sessionId: string;
  readonly epoch: number;
  /** Keyed hash. */
  readonly principal: string;
  /** Monotonic time until which no other replica can have taken it over. */
  certainUntilMs: number;
  /** Sealed upstream ids; empty before the first. */
  sealed: string;
  /** Whether Redis has them. */
  saved: boolean;
}
