/** A wait that ends at a deadline unless it is settled before. */
interface Wait {
  readonly dueAt: number;
  readonly expire: () => void;
  done: boolean;
}

/**
 * Deadlines of one length, so they fall due in the order they were made: one timer serves them all, however
 * many calls are in flight. When it fires, one turn of the event loop is granted first, so that answers which
 * arrived while this process was busy still count.
 */
export class DeadlineQueue {
  readonly #timeoutMs: number;
  #waits: Wait[] = [];
  #head = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Calls `expire` after the timeout; the returned function settles the wait. */
  add(expire: () => void): () => void {
    const wait: Wait = { dueAt: performance.now() + this.#timeoutMs, expire, done: false };
    this.#waits.push(wait);
    this.#timer ??= setTimeout(() => this.#fire(), this.#timeoutMs);
    return () => {
      wait.done = true;
      this.#trim();
    };
  }

  /** Settles as the promise does, or after the timeout with what `expire` gives. */
  race<T>(promise: Promise<T>, expire: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.add(() => resolve(expire()));
      promise.finally(cancel).then(resolve, reject);
    });
  }

  #trim(): void {
    while (this.#waits[this.#head]?.done) this.#head++;
    if (this.#head === this.#waits.length) {
      this.#waits.length = 0;
      this.#head = 0;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    } else if (this.#head > 1_024) {
      this.#waits = this.#waits.slice(this.#head);
      this.#head = 0;
    }
  }

  #fire(): void {
    this.#timer = undefined;
    const now = performance.now() + 0.5;
    const due: Wait[] = [];
    for (let i = this.#head; i < this.#waits.length; i++) {
      const wait = this.#waits[i] as Wait;
      if (wait.dueAt > now) {
        this.#timer = setTimeout(() => this.#fire(), wait.dueAt - now + 0.5);
        break;
      }
      due.push(wait);
    }
    setImmediate(() => {
      for (const wait of due) {
        if (wait.done) continue;
        wait.done = true;
        wait.expire();
      }
      this.#trim();
    });
  }
}
