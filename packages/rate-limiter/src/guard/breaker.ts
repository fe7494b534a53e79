/** Where a breaker is: closed with failures in a row, open until a time, or open with a probe under way. */
export type BreakerState =
  | { readonly state: "closed"; readonly failures: number }
  | { readonly state: "open"; readonly until: number }
  | { readonly state: "half_open" };

/** Options of a breaker. */
export interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly failures: number;
  /** How long it stays open before one probe is made, ms. */
  readonly openMs: number;
}

/**
 * Stops calls to a store that keeps failing. When the open time is over, the next call starts one probe in the
 * background and goes on without the store, so nobody waits for a store that may still be dead.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  readonly #now: () => number;
  readonly #onChange: (state: BreakerState["state"]) => void;
  #state: BreakerState = { state: "closed", failures: 0 };

  constructor(options: BreakerOptions, now: () => number, onChange: (state: BreakerState["state"]) => void) {
    this.#options = options;
    this.#now = now;
    this.#onChange = onChange;
  }

  get state(): BreakerState["state"] {
    return this.#state.state;
  }

  /** May the store be called? May start `probe`, whose outcome closes or reopens the breaker. */
  admits(probe: () => Promise<unknown>): boolean {
    switch (this.#state.state) {
      case "closed":
        return true;
      case "half_open":
        return false;
      case "open":
        if (this.#now() >= this.#state.until) this.#tryOut(probe);
        return false;
    }
  }

  succeeded(): void {
    if (this.#state.state === "closed" && this.#state.failures > 0)
      this.#state = { state: "closed", failures: 0 };
  }

  failed(): void {
    if (this.#state.state !== "closed") return;
    const failures = this.#state.failures + 1;
    if (failures >= this.#options.failures) this.#open();
    else this.#state = { state: "closed", failures };
  }

  #open(): void {
    this.#set({ state: "open", until: this.#now() + this.#options.openMs });
  }

  #tryOut(probe: () => Promise<unknown>): void {
    this.#set({ state: "half_open" });
    probe().then(
      () => this.#set({ state: "closed", failures: 0 }),
      () => this.#open(),
    );
  }

  #set(state: BreakerState): void {
    this.#state = state;
    this.#onChange(state.state);
  }
}
