import type { Clock, TimerHandle } from "./clock.ts";

/** Pause after a failed attempt to connect: at least, and at most. */
const minRetryMs = 350;
const maxRetryMs = 1_000;

/** When a pool may connect: as it likes while that succeeds; after a failure one attempt at a time, with pauses between. */
export class ConnectPacing {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #again: () => void;
  #failures = 0;
  #timer: TimerHandle | undefined;

  /** @param again called when a pause is over */
  constructor(clock: Clock, random: () => number, again: () => void) {
    this.#clock = clock;
    this.#random = random;
    this.#again = again;
  }

  /** Whether another attempt may begin beside those under way. */
  allows(underWay: number): boolean {
    return this.#timer === undefined && (this.#failures === 0 || underWay === 0);
  }

  succeeded(): void {
    this.#failures = 0;
  }

  failed(): void {
    this.#failures++;
    const longest = Math.min(maxRetryMs, minRetryMs * 2 ** Math.min(this.#failures, 8));
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(
      () => {
        this.#timer = undefined;
        this.#again();
      },
      minRetryMs + this.#random() * (longest - minRetryMs),
    );
    this.#timer.unref?.();
  }

  /** Forgets failures and ends a pause. */
  reset(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#failures = 0;
  }
}
