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
  /** Failures in a row before connects that worked, until one of these has proved that it did. */
  #before = 0;
  /** When the first connect after all those `#before` worked. */
  #sinceMs = 0;
  /** Failures in a row up to the last session that was lost unused: as good as those since, until a connect works. */
  #lost = 0;
  #round = 0;
  readonly #threshold: number;
  readonly #resetMs: number;
  readonly #proofMs: number;
  readonly #changed: (state: BreakerState["kind"]) => void;

  /** What a connect brought has proved itself once it lives for longer than `proofMs`. */
  constructor(
    threshold: number,
    resetMs: number,
    proofMs: number,
    changed: (state: BreakerState["kind"]) => void,
  ) {
    this.#threshold = threshold;
    this.#resetMs = resetMs;
    this.#proofMs = proofMs;
    this.#changed = changed;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Another one after each call that worked and each loss that counted: only a loss of the same round can count. */
  get round(): number {
    return this.#round;
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

  /** A connect worked, as far as can be told. */
  succeeded(nowMs: number): void {
    this.#hurried = false;
    const state = this.#state;
    const failures = state.kind === "closed" ? this.#lost + state.failures : this.#threshold - 1;
    if (failures > 0) {
      this.#before = this.#unproved(nowMs) + failures;
      this.#sinceMs = nowMs;
      this.#lost = 0;
    }
    if (state.kind !== "closed") this.#become({ kind: "closed", failures: 0 });
    else if (state.failures > 0) this.#state = { kind: "closed", failures: 0 };
  }

  /** A call on a session worked: so did the connects before it that had brought one. */
  proved(): void {
    this.#round++;
    this.#before = 0;
    this.#lost = 0;
  }

  /** What a connect of this round brought was lost unused: it had not worked, and those before count on. */
  undone(nowMs: number, cause: unknown): void {
    if (this.#state.kind !== "closed") return;
    this.#round++;
    this.#lost += this.#unproved(nowMs) + 1;
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

  /** Those `#before`, unless the session that came after them has lived long enough. */
  #unproved(nowMs: number): number {
    return nowMs - this.#sinceMs > this.#proofMs ? 0 : this.#before;
  }

  #open(nowMs: number, cause: unknown): void {
    this.#round++;
    this.#lost = 0;
    this.#become({ kind: "open", untilMs: nowMs + this.#resetMs, cause });
  }

  #become(state: BreakerState): void {
    this.#state = state;
    this.#changed(state.kind);
  }
}
