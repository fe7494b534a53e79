import type { Decision } from "../decision.ts";
import { RateLimiterError } from "../errors.ts";
import { type LimiterObserver, notify } from "../observer.ts";
import type { CheckRequest, LimiterStore } from "../store.ts";
import { Breaker, type BreakerOptions } from "./breaker.ts";
import { DeadlineQueue } from "./deadline-queue.ts";
import type { Fallback } from "./fallback.ts";

/** Options of a {@link Guard}. */
export interface GuardOptions {
  /** Longest wait for the store, ms. */
  readonly timeoutMs: number;
  readonly breaker: BreakerOptions;
}

/** Puts a hard deadline, a breaker and a failure policy around the checks of a remote store. */
export class Guard {
  readonly #store: LimiterStore;
  readonly #fallback: Fallback;
  readonly #deadlines: DeadlineQueue;
  readonly #breaker: Breaker;
  readonly #observer: LimiterObserver | undefined;

  constructor(
    store: LimiterStore,
    fallback: Fallback,
    options: GuardOptions,
    observer: LimiterObserver | undefined,
  ) {
    this.#store = store;
    this.#fallback = fallback;
    this.#deadlines = new DeadlineQueue(options.timeoutMs);
    this.#observer = observer;
    this.#breaker = new Breaker(
      options.breaker,
      () => performance.now(),
      (state) => {
        if (observer?.onBreaker) notify(() => observer.onBreaker?.(state));
      },
    );
  }

  get breaker(): "closed" | "open" | "half_open" {
    return this.#breaker.state;
  }

  /** Never rejects but with the reason of an aborted signal. Synchronous while the breaker is open. */
  check(request: CheckRequest, signal: AbortSignal | undefined): Decision | Promise<Decision> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!this.#breaker.admits(() => this.#probe())) return this.#fallback.decide(request);
    return new Promise((resolve, reject) => {
      let open = true;
      const settle = (): boolean => {
        if (!open) return false;
        open = false;
        cancel();
        if (onAbort) signal?.removeEventListener("abort", onAbort);
        return true;
      };
      const fail = (error: unknown) => {
        if (!settle()) return;
        this.#failed(error);
        resolve(this.#fallback.decide(request));
      };
      const onAbort = signal && (() => settle() && reject(signal.reason));
      const cancel = this.#deadlines.add(() => fail(noAnswer()));
      if (onAbort) signal?.addEventListener("abort", onAbort);
      const succeed = (decision: Decision) => {
        if (!settle()) return;
        this.#breaker.succeeded();
        resolve(decision);
      };
      try {
        const answer = this.#store.check(request);
        if (answer instanceof Promise) answer.then(succeed, fail);
        else Promise.resolve(answer).then(succeed, fail);
      } catch (error) {
        fail(error);
      }
    });
  }

  /** What the failure policy says. */
  degrade(request: CheckRequest): Decision {
    return this.#fallback.decide(request);
  }

  #probe(): Promise<unknown> {
    return new Promise<void>((resolve, reject) => {
      const cancel = this.#deadlines.add(() => reject(noAnswer()));
      Promise.resolve(this.#store.probe?.())
        .then(() => resolve(), reject)
        .finally(cancel);
    });
  }

  #failed(error: unknown): void {
    this.#breaker.failed();
    const observer = this.#observer;
    if (observer?.onStoreError) notify(() => observer.onStoreError?.(error));
  }
}

function noAnswer(): RateLimiterError {
  return new RateLimiterError("backend_unavailable", "The store did not answer in time");
}
