import type { CallOutcome } from "@gatewright/plugin-framework";
import { type Attempt, type Retrier, RetryError, type RetryOptions } from "@gatewright/retry-backoff";
import { AnsweredError } from "./answered-error.ts";
import { outcomeOf } from "./call-failure.ts";

/** The retriers that calls are under way in, so that those are stopped, and seen, though their policies were replaced. */
export class RunningRetriers {
  readonly #calls = new Map<Retrier, number>();

  /** Calls that wait for their next attempt. */
  get sleeping(): number {
    let sum = 0;
    for (const retrier of this.#calls.keys()) sum += retrier.stats().sleeping;
    return sum;
  }

  /** Runs a call; it fails with the errors of its attempts, as callers know those. */
  async run<T>(retrier: Retrier, fn: (attempt: Attempt) => Promise<T>, options: RetryOptions): Promise<T> {
    this.#calls.set(retrier, (this.#calls.get(retrier) ?? 0) + 1);
    try {
      return await retrier.retry(fn, { ...options, classify });
    } catch (error) {
      throw RetryError.is(error) && error.cause !== undefined ? error.cause : error;
    } finally {
      const left = (this.#calls.get(retrier) ?? 1) - 1;
      if (left > 0) this.#calls.set(retrier, left);
      else this.#calls.delete(retrier);
    }
  }

  /** Ends every wait. Attempts that are under way finish, and no other follows. */
  stop(): void {
    for (const retrier of this.#calls.keys()) retrier.stop();
  }
}

function classify(error: unknown): CallOutcome {
  if (error instanceof AnsweredError) return error.outcome;
  if (RetryError.is(error) && error.code === "attempt_timeout") {
    return { kind: "error", code: "upstream_timeout", phase: "sent_no_response" };
  }
  return outcomeOf(error);
}
