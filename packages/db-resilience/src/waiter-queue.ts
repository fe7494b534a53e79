import type { Clock } from "./clock.ts";
import type { DatabaseError } from "./errors.ts";
import { aborted } from "./refusals.ts";

interface Waiter<T> {
  settled: boolean;
  readonly give: (value: T) => void;
  readonly fail: (error: DatabaseError) => void;
}

/** Callers that wait for something, first come first served; each leaves by itself at its deadline. */
export class WaiterQueue<T> {
  readonly #clock: Clock;
  #waiters: Waiter<T>[] = [];
  #head = 0;
  #live = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many wait. */
  get length(): number {
    return this.#live;
  }

  /** Waits for a value; rejects with `onTimeout()` after `timeoutMs` or when `signal` aborts. */
  wait(timeoutMs: number, onTimeout: () => DatabaseError, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(aborted(signal.reason));
    return new Promise((resolve, reject) => {
      const leave = () => {
        waiter.settled = true;
        if (--this.#live === 0) this.#clear();
        this.#clock.clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      const waiter: Waiter<T> = {
        settled: false,
        give: (value) => {
          leave();
          resolve(value);
        },
        fail: (error) => {
          leave();
          reject(error);
        },
      };
      const abort = () => waiter.fail(aborted(signal?.reason));
      const timer = this.#clock.setTimeout(() => waiter.fail(onTimeout()), timeoutMs);
      signal?.addEventListener("abort", abort, { once: true });
      this.#live++;
      this.#waiters.push(waiter);
    });
  }

  /** Gives a value to the caller who has waited longest; false when nobody waits. */
  giveToFirst(value: T): boolean {
    for (let waiter = this.#shift(); waiter; waiter = this.#shift()) {
      if (waiter.settled) continue;
      waiter.give(value);
      return true;
    }
    return false;
  }

  /** Refuses everybody. */
  failAll(error: () => DatabaseError): void {
    for (let waiter = this.#shift(); waiter; waiter = this.#shift()) {
      if (!waiter.settled) waiter.fail(error());
    }
  }

  #shift(): Waiter<T> | undefined {
    const waiter = this.#waiters[this.#head];
    if (!waiter) {
      this.#clear();
      return undefined;
    }
    this.#head++;
    // Those who gave up in the middle stay until their turn; a long head is cut off now and then.
    if (this.#head > 64 && this.#head * 2 > this.#waiters.length) {
      this.#waiters = this.#waiters.slice(this.#head);
      this.#head = 0;
    }
    return waiter;
  }

  #clear(): void {
    this.#waiters = [];
    this.#head = 0;
  }
}
