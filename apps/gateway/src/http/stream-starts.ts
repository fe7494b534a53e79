/** An answer that becomes an event stream when it takes long. The links belong to {@link StreamStarts}. */
export interface SlowAnswer {
  /** When its stream is due; 0 while it does not wait. */
  dueMs: number;
  earlier: SlowAnswer | undefined;
  later: SlowAnswer | undefined;
  openStream(): void;
}

/**
 * Begins the event streams of answers that take longer than a given time. All wait equally long, so they queue in the
 * order in which they came, and one timer looks at the oldest: most are answered before, and never see it.
 */
export class StreamStarts {
  readonly #afterMs: number;
  #oldest: SlowAnswer | undefined;
  #newest: SlowAnswer | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /** The answer's stream is begun in time, unless it is taken out before. */
  add(answer: SlowAnswer): void {
    answer.dueMs = performance.now() + this.#afterMs;
    answer.earlier = this.#newest;
    if (this.#newest === undefined) this.#oldest = answer;
    else this.#newest.later = answer;
    this.#newest = answer;
    // The connection keeps the process alive, not this.
    this.#timer ??= setTimeout(() => this.#look(), this.#afterMs).unref();
  }

  /** The answer is there, or its stream has begun. */
  delete(answer: SlowAnswer): void {
    if (answer.dueMs === 0) return;
    const { earlier, later } = answer;
    if (earlier === undefined) this.#oldest = later;
    else earlier.later = later;
    if (later === undefined) this.#newest = earlier;
    else later.earlier = earlier;
    answer.dueMs = 0;
    answer.earlier = undefined;
    answer.later = undefined;
  }

  #look(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (let answer = this.#oldest; answer !== undefined; answer = this.#oldest) {
      if (answer.dueMs > now) {
        this.#timer = setTimeout(() => this.#look(), Math.ceil(answer.dueMs - now)).unref();
        return;
      }
      this.delete(answer);
      answer.openStream();
    }
  }
}
