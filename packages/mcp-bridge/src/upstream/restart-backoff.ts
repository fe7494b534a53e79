/** Options of {@link RestartBackoff}, in milliseconds. */
export interface RestartBackoffOptions {
  /** Pause after the first failure; doubles with each further one. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** A process that lived this long had not failed to start. */
  readonly healthyAfterMs: number;
  readonly now: () => number;
}

/** How long to wait before a process that ended on its own is started again. */
export class RestartBackoff {
  readonly #options: RestartBackoffOptions;
  #failures = 0;
  #failedAt = 0;

  constructor(options: RestartBackoffOptions) {
    this.#options = options;
  }

  /** Notes that a process ended unasked after `livedMs`. */
  failed(livedMs: number): void {
    this.#failures = livedMs >= this.#options.healthyAfterMs ? 1 : this.#failures + 1;
    this.#failedAt = this.#options.now();
  }

  /** Notes a handshake that went well. */
  succeeded(): void {
    this.#failures = Math.min(this.#failures, 1);
  }

  /** Milliseconds until the next start is allowed; 0 = now. */
  remainingMs(): number {
    if (this.#failures === 0) return 0;
    const { baseMs, maxMs, now } = this.#options;
    const pause = Math.min(maxMs, baseMs * 2 ** Math.min(30, this.#failures - 1));
    return Math.max(0, this.#failedAt + pause - now());
  }
}
