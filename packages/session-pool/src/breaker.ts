/** State of a {@link Breaker}; each state carries only its own data. */
export type BreakerState =
  | { readonly kind: "closed"; readonly failures: number }
  | { readonly kind: "open"; readonly untilMs: number; readonly cause: unknown }
  | { readonly kind: "half_open"; readonly cause: unknown };

/** Whether a connect may be tried now. */
export type BreakerPermit =
  | { readonly allowed: true; readonly trial: boolean }
  | { readonly allowed: false; readonly retryAfterMs: number; readonly cause: unknown };

const ALLOWED: BreakerPermit = { allowed: true, trial: false };
const TRIAL: BreakerPermit = { allowed: true, trial: true };

/**
 * Circuit breaker over consecutive connect failures of one server
 * (M. Nygard, "Release It!"; with exactly one trial in half-open). Times are monotonic.
 */
export class Breaker {
  #state: BreakerState = { kind: "closed", failures: 0 };
  /** Whether a trial was let through ahead of its time since the last connect that worked. */
  #hurried = false;
  /** Failures in a row before the last connect that worked, until it is known whether that one did. */
  #before = 0;
  /** Failures in a row up to the last session that was lost unused: as good as those since, until something works. */
  #lost = 0;
  #proofs = 0;
  readonly #threshold: number;
  readonly #resetMs: number;
  readonly #changed: (state: BreakerState["kind"]) => void;

  constructor(threshold: number, resetMs: number, changed: (state: BreakerState["kind"]) => void) {
    this.#threshold = threshold;
    this.#resetMs = resetMs;
    this.#changed = changed;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** How many connects and calls have worked: the same as before when nothing has worked since. */
  get proofs(): number {
    return this.#proofs;
  }

  /** Asks to connect. An allowed caller must report `succeeded`, `failed` or `neutral`. */
  request(nowMs: number): BreakerPermit {
    const state = this.#state;
    switch (state.kind) {
      case "closed":
        return ALLOWED;
      case "open":
        if (nowMs < state.untilMs) {
          return { allowed: false, retryAfterMs: Math.ceil(state.untilMs - nowMs), cause: state.cause };
        }
        this.#become({ kind: "half_open", cause: state.cause });
        return TRIAL;
      case "half_open":
        return { allowed: false, retryAfterMs: 1000, cause: state.cause };
    }
  }

  /** A connect worked. */
  succeeded(): void {
    this.#hurried = false;
    this.#proofs++;
    const state = this.#state;
    if (state.kind === "closed") {
      this.#before = this.#lost + state.failures;
      if (state.failures > 0) this.#state = { kind: "closed", failures: 0 };
    } else {
      this.#before = this.#threshold - 1;
      this.#become({ kind: "closed", failures: 0 });
    }
    this.#lost = 0;
  }

  /** A call on a session worked: so did the connects before it that had brought one. */
  proved(): void {
    this.#proofs++;
    this.#before = 0;
    this.#lost = 0;
  }

  /** What the last connect brought was lost before anything else worked: it had not worked, and those before count on. */
  undone(nowMs: number, cause: unknown): void {
    if (this.#state.kind !== "closed") return;
    this.#lost += this.#before + 1;
    this.#before = 0;
    if (this.#lost + this.#state.failures >= this.#threshold) this.#open(nowMs, cause);
  }

  /** A connect failed for a reason that lies with the server. True when this opened the breaker. */
  failed(nowMs: number, cause: unknown): boolean {
    const state = this.#state;
    if (state.kind === "open") return false;
    if (state.kind === "closed" && this.#lost + state.failures + 1 < this.#threshold) {
      this.#state = { kind: "closed", failures: state.failures + 1 };
      return false;
    }
    this.#open(nowMs, cause);
    return true;
  }

  /**
   * The server was reached in some other way: an open breaker lets its trial through now, not at its time. Once: if that
   * fails, what refuses connects is reached otherwise, and would be tried as often as somebody looks.
   */
  reached(nowMs: number): void {
    const state = this.#state;
    if (state.kind !== "open" || state.untilMs <= nowMs || this.#hurried) return;
    this.#hurried = true;
    this.#state = { ...state, untilMs: nowMs };
  }

  /** A connect ended without telling anything about the server: if it was the trial, another may be made. */
  neutral(nowMs: number, trial: boolean): void {
    if (trial && this.#state.kind === "half_open") {
      this.#become({ kind: "open", untilMs: nowMs, cause: this.#state.cause });
    }
  }

  #open(nowMs: number, cause: unknown): void {
    this.#lost = 0;
    this.#become({ kind: "open", untilMs: nowMs + this.#resetMs, cause });
  }

  #become(state: BreakerState): void {
    this.#state = state;
    this.#changed(state.kind);
  }
}
