import type { Decision } from "../decision.ts";
import { RateLimiterError } from "../errors.ts";
import { type LimiterObserver, notify } from "../observer.ts";
import type { CheckRequest, LimiterStore, WipeScope } from "../store.ts";
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
  readonly #options: BreakerOptions;
  /** One for each part of the store that can fail by itself. */
  readonly #breakers = new Map<string | undefined, Breaker>();
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
    this.#options = options.breaker;
  }

  /** `closed` when all parts of the store are called, else what the worst of them is. */
  get breaker(): "closed" | "open" | "half_open" {
    const states = [...this.#breakers.values()].map(({ state }) => state);
    return states.find((state) => state === "open") ?? states.find((state) => state !== "closed") ?? "closed";
  }

  /** Never rejects but with the reason of an aborted signal. Synchronous while the breaker is open. */
  check(request: CheckRequest, signal: AbortSignal | undefined): Decision | Promise<Decision> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const part = this.#store.partOf?.(request.tenant);
    const breaker = this.#breakerOf(part);
    if (!breaker.admits(() => this.#probe(part))) return this.#fallback.decide(request);
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
        this.#failed(breaker, error);
        resolve(this.#fallback.decide(request));
      };
      const onAbort = signal && (() => settle() && reject(signal.reason));
      const cancel = this.#deadlines.add(() => fail(noAnswer()));
      if (onAbort) signal?.addEventListener("abort", onAbort);
      const succeed = (decision: Decision) => {
        if (!settle()) return;
        breaker.succeeded();
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

  /** Empties what the failure policy counted by itself. */
  wiped(scope: WipeScope): void {
    this.#fallback.wipe(scope);
  }

  #breakerOf(part: string | undefined): Breaker {
    const known = this.#breakers.get(part);
    if (known !== undefined) return known;
    const observer = this.#observer;
    const breaker = new Breaker(
      this.#options,
      () => performance.now(),
      (state) => {
        if (observer?.onBreaker) notify(() => observer.onBreaker?.(state, part));
      },
    );
    this.#breakers.set(part, breaker);
    return breaker;
  }

  #probe(part: string | undefined): Promise<unknown> {
    return new Promise<void>((resolve, reject) => {
      const cancel = this.#deadlines.add(() => reject(noAnswer()));
      Promise.resolve(this.#store.probe?.(part))
        .then(() => resolve(), reject)
        .finally(cancel);
    });
  }

  #failed(breaker: Breaker, error: unknown): void {
    breaker.failed();
    const observer = this.#observer;
    if (observer?.onStoreError) notify(() => observer.onStoreError?.(error));
  }
}

function noAnswer(): RateLimiterError {
  return new RateLimiterError("backend_unavailable", "The store did not answer in time");
}
