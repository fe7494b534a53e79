/** What is known of the polls of one server and type. Times are epoch milliseconds of the store, 0 is never. */
export interface PollState {
  /** Last poll that succeeded. */
  last: number;
  /** Polls that succeeded. */
  count: number;
  /** Failures in a row. */
  failures: number;
  /** Not again before this, after a failure or where the server could not be asked. */
  retryAt: number;
  /** Due at this time whatever the interval says. */
  forcedAt: number;
  /** The server's own word on how long its list holds, milliseconds. */
  ttlMs: number;
  /** When the present holder claimed it. */
  claimedAt: number;
  /** When the present holder claimed or last renewed it. */
  heldAt: number;
  /** Token of the present holder. */
  holder: string;
}

/** What a replica remembers of a poll and tells a store that may have lost it. */
export type PollMemory = Readonly<Pick<PollState, "last" | "failures" | "forcedAt" | "ttlMs">>;

/** A last poll or a claim further in the future than this is not believed. */
export const MAX_FUTURE_MS = 60_000;

/** The state of something that was never polled. */
export function neverPolled(): PollState {
  return {
    last: 0,
    count: 0,
    failures: 0,
    retryAt: 0,
    forcedAt: 0,
    ttlMs: 0,
    claimedAt: 0,
    heldAt: 0,
    holder: "",
  };
}

/** The time of a poll, or 0 when it is nonsense: not positive, no number, or more than 60 s ahead. */
export function believedLast(last: number, now: number): number {
  return last > 0 && last <= now + MAX_FUTURE_MS ? last : 0;
}

/** The pace of a poll. */
export interface Pace {
  /** Jitter included. */
  readonly intervalMs: number;
  /** Longest pause after failures; one that would end later was noted by a clock that was wrong. */
  readonly maxPauseMs: number;
}

/** When the next poll is due; 0 is at once. */
export function dueAt(state: PollState, { intervalMs, maxPauseMs }: Pace, now: number): number {
  const retryAt = state.retryAt <= now + maxPauseMs ? state.retryAt : 0;
  const last = believedLast(state.last, now);
  if (last === 0) return retryAt;
  const regular = last + Math.max(intervalMs, state.ttlMs);
  const wanted = state.forcedAt > 0 ? Math.min(regular, state.forcedAt) : regular;
  return Math.max(wanted, retryAt);
}

/** Whether somebody holds a claim that has not expired. */
export function isClaimed({ heldAt }: PollState, claimMs: number, now: number): boolean {
  return heldAt > 0 && heldAt <= now + MAX_FUTURE_MS && now < heldAt + claimMs;
}

/**
 * When a poll is wished for with one more wish: the earlier counts, so that many notices make one poll. One that was due
 * when the poll under way began is heeded by that poll; then the later counts, and makes another poll where it needs one.
 */
function wishOf({ forcedAt, claimedAt }: PollState, at: number, now: number): number {
  const [earlier, later] = [Math.min(forcedAt, at), Math.max(forcedAt, at)];
  return earlier <= believedLast(claimedAt, now) ? later : earlier;
}

/** Adds what a replica remembers that asks: polls, failures and notices of change that could not be booked. */
export function recollect(state: PollState, known: PollMemory, now: number): void {
  const last = believedLast(state.last, now);
  const knownLast = believedLast(known.last, now);
  state.last = Math.max(last, knownLast);
  if (knownLast > last) state.ttlMs = known.ttlMs;
  // Whoever polled later knows better: a success ends the failures, and a notice before it has been heeded.
  if (knownLast >= last) state.failures = Math.max(state.failures, known.failures);
  if (known.forcedAt > state.last) state.forcedAt = wishOf(state, known.forcedAt, now);
}

/** How a claim ended, or a wish for a poll. */
export type PollEnding =
  | { readonly kind: "completed"; readonly token: string; readonly ttlMs?: number }
  | { readonly kind: "failed"; readonly token: string; readonly baseMs: number; readonly maxMs: number }
  | { readonly kind: "abandoned"; readonly token: string; readonly pauseMs?: number }
  | { readonly kind: "renewed"; readonly token: string }
  | { readonly kind: "forced"; readonly debounceMs: number };

/** Applies an ending. A time is recorded only on success; a claim is freed and renewed only by its holder. */
export function endPoll(state: PollState, ending: PollEnding, now: number): void {
  if (ending.kind === "forced") {
    state.forcedAt = wishOf(state, now + ending.debounceMs, now);
    return;
  }
  if (ending.kind === "renewed") {
    if (state.holder === ending.token) state.heldAt = now;
    return;
  }
  if (ending.kind === "completed") {
    state.last = now;
    state.count++;
    state.failures = 0;
    state.retryAt = 0;
    state.ttlMs = ending.ttlMs ?? 0;
    // A change that was announced after this poll began needs another poll; so does one that only another's has heeded.
    if (state.holder === ending.token && state.forcedAt <= state.claimedAt) state.forcedAt = 0;
  } else if (ending.kind === "failed") {
    state.failures++;
    state.retryAt = now + Math.min(ending.maxMs, ending.baseMs * 2 ** (state.failures - 1));
  }
  if (state.holder === ending.token) {
    const pauseMs = ending.kind === "abandoned" ? (ending.pauseMs ?? 0) : 0;
    if (pauseMs > 0) state.retryAt = now + pauseMs;
    state.claimedAt = 0;
    state.heldAt = 0;
    state.holder = "";
  }
}
