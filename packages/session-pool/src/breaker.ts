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
  /** Failures in a row before the last connect that worked, until its session was used. */
  #before = 0;
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
    if (this.#state.kind === "closed") {
      if (this.#state.failures === 0) return;
      this.#before = this.#state.failures;
      this.#state = { kind: "closed", failures: 0 };
    } else {
      this.#before = this.#threshold - 1;
      this.#become({ kind: "closed", failures: 0 });
    }
  }

  /** What a connect brought was used: it has worked for good. */
  proved(): void {
    this.#before = 0;
  }

  /** What a connect brought was lost before anybody used it: it had not worked, and those before count on. */
  undone(nowMs: number, cause: unknown): void {
    if (this.#state.kind === "closed") {
      this.#state = { kind: "closed", failures: this.#state.failures + this.#before };
      this.#before = 0;
    }
    this.failed(nowMs, cause);
  }

  /** A connect failed for a reason that lies with the server. True when this opened the breaker. */
  failed(nowMs: number, cause: unknown): boolean {
    const state = this.#state;
    if (state.kind === "open") return false;
    if (state.kind === "closed" && state.failures + 1 < this.#threshold) {
      this.#state = { kind: "closed", failures: state.failures + 1 };
      return false;
    }
    this.#become({ kind: "open", untilMs: nowMs + this.#resetMs, cause });
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

  #become(state: BreakerState): void {
    this.#state = state;
    this.#changed(state.kind);
  }
}
