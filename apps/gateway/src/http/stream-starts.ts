/** An answer that becomes an event stream when it takes long. Its links and its time belong to {@link StreamStarts}. */
export interface SlowAnswer {
  /** `performance.now()` at which its stream is begun; 0 while it does not wait for that. */
  dueAt: number;
  previous: SlowAnswer | undefined;
  next: SlowAnswer | undefined;
  openStream(): void;
}

/**
 * Begins the event streams of answers that take longer than a given time. All wait equally long, so they queue in the
 * order in which they came, and one timer looks at the oldest: most are answered before, and never see it.
 *
 * A list whose links are cleared, not a Map: one that members enter and leave all the time is rebuilt again and again,
 * each of its old tables refers to the next, and once one of them has grown old V8 keeps all that followed, a whole call
 * for each entry, until the next full collection. Measured on small tools/calls: 73 µs of CPU a call with a Map, 57 so.
 */
export class StreamStarts {
  readonly #afterMs: number;
  #oldest: SlowAnswer | undefined;
  #newest: SlowAnswer | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /** The answer's stream is begun in time, unless it is taken out before. One that waits already goes on waiting. */
  add(answer: SlowAnswer): void {
    if (answer.dueAt !== 0) return;
    answer.dueAt = performance.now() + this.#afterMs;
    answer.previous = this.#newest;
    if (this.#newest === undefined) this.#oldest = answer;
    else this.#newest.next = answer;
    this.#newest = answer;
    // The connection keeps the process alive, not this.
    this.#timer ??= setTimeout(() => this.#look(), this.#afterMs).unref();
  }

  /** The answer is there, or its stream has begun. */
  delete(answer: SlowAnswer): void {
    if (answer.dueAt === 0) return;
    const { previous, next } = answer;
    if (previous === undefined) this.#oldest = next;
    else previous.next = next;
    if (next === undefined) this.#newest = previous;
    else next.previous = previous;
    answer.dueAt = 0;
    answer.previous = undefined;
    answer.next = undefined;
  }

  #look(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (let answer = this.#oldest; answer !== undefined; answer = this.#oldest) {
      if (answer.dueAt > now) {
        this.#timer = setTimeout(() => this.#look(), Math.ceil(answer.dueAt - now)).unref();
        return;
      }
      this.delete(answer);
      answer.openStream();
    }
  }
}
