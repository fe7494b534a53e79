/** An answer that becomes an event stream when it takes long. */
export interface SlowAnswer {
  openStream(): void;
}

/**
 * Begins the event streams of answers that take longer than a given time. All wait equally long, so they queue in the
 * order in which they came, and one timer looks at the oldest: most are answered before, and never see it.
 */
export class StreamStarts {
  readonly #afterMs: number;
  readonly #waiting = new Map<SlowAnswer, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /** The answer's stream is begun in time, unless it is taken out before. */
  add(answer: SlowAnswer): void {
    this.#waiting.set(answer, performance.now() + this.#afterMs);
    // The connection keeps the process alive, not this.
    this.#timer ??= setTimeout(() => this.#look(), this.#afterMs).unref();
  }

  /** The answer is there, or its stream has begun. */
  delete(answer: SlowAnswer): void {
    this.#waiting.delete(answer);
  }

  #look(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [answer, dueMs] of this.#waiting) {
      if (dueMs > now) {
        this.#timer = setTimeout(() => this.#look(), Math.ceil(dueMs - now)).unref();
        return;
      }
      this.#waiting.delete(answer);
      answer.openStream();
    }
  }
}
