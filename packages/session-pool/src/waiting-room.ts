import type { Bucket } from "./bucket.ts";
import { SessionPoolError } from "./errors.ts";
import type { Growth } from "./grower.ts";
import type { Lease } from "./lease.ts";
import type { PoolState } from "./pool-state.ts";
import { WaitTimeouts } from "./wait-timeouts.ts";
import { Waiter } from "./waiter.ts";

/** Where callers wait: bounded, first in first out per key, each until served, timed out or aborted. */
export class WaitingRoom<S, C> {
  readonly #state: PoolState<S, C>;
  readonly #timeouts: WaitTimeouts<S, C>;
  #seq = 0;

  constructor(state: PoolState<S, C>) {
    this.#state = state;
    this.#timeouts = new WaitTimeouts(state.clock, (waiter) => this.#expire(waiter));
  }

  /** Lets a caller in. */
  enter(
    bucket: Bucket<S, C>,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    context: C | undefined,
    probe: boolean,
  ): Promise<Lease<S>> {
    const state = this.#state;
    if (state.waiting >= state.options.maxWaiters || bucket.waiters.size >= state.options.maxWaitersPerKey) {
      const error = this.refusal(bucket, "pool_capacity", "too many callers wait for a session", {
        scope: "queue",
      });
      state.dropIfEmpty(bucket);
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      const nowMs = state.clock.now();
      const waiter = new Waiter(bucket, resolve, reject, context, probe, nowMs, this.#seq++);
      if (signal !== undefined) this.#listen(waiter, signal);
      bucket.waiters.push(waiter);
      state.waiting++;
      this.#timeouts.add(waiter, nowMs + timeoutMs);
    });
  }

  /** Calls a waiter up: it no longer waits, and its wait is on record. */
  callUp(waiter: Waiter<S, C>, nowMs: number): void {
    this.#leave(waiter);
    this.#state.waits.record(nowMs - waiter.sinceMs);
  }

  /** Ends the first `most` waits for a key with an error. */
  refuse(bucket: Bucket<S, C>, error: unknown, most = Number.POSITIVE_INFINITY): void {
    for (
      let n = 0, head = bucket.waiters.head;
      head !== undefined && n < most;
      head = bucket.waiters.head, n++
    ) {
      this.#reject(head, error);
    }
  }

  /** Ends all waits for a key that does not get a session, and has none to hope for. */
  refuseFor(bucket: Bucket<S, C>, growth: Growth): void {
    if (growth.kind === "breaker_open") {
      const { retryAfterMs, cause } = growth;
      const facts = { retryAfterMs, breaker: "open" };
      const message = "the server failed repeatedly";
      this.refuse(bucket, this.refusal(bucket, "upstream_unreachable", message, facts, cause));
    } else if (growth.kind === "capacity") {
      const facts = { scope: growth.scope.name, limit: growth.scope.limit };
      this.refuse(bucket, this.refusal(bucket, "pool_capacity", "the pool is full", facts));
    }
  }

  /** The error for a caller that is not served; the observer is told. */
  refusal(
    bucket: Bucket<S, C>,
    code: "pool_capacity" | "acquire_timeout" | "upstream_unreachable",
    message: string,
    facts: Record<string, unknown>,
    cause?: unknown,
  ): SessionPoolError {
    this.#state.tell("acquireFailed", {
      ...this.#state.eventOf(bucket),
      code,
      queueDepth: this.#state.waiting,
    });
    return new SessionPoolError(code, message, {
      cause,
      details: { serverId: bucket.key.serverId, ...facts },
    });
  }

  #listen(waiter: Waiter<S, C>, signal: AbortSignal): void {
    const aborted = () => this.#reject(waiter, signal.reason);
    signal.addEventListener("abort", aborted, { once: true });
    waiter.unlisten = () => signal.removeEventListener("abort", aborted);
  }

  #leave(waiter: Waiter<S, C>): void {
    waiter.bucket.waiters.remove(waiter);
    this.#timeouts.remove(waiter);
    this.#state.waiting--;
    if (waiter.unlisten !== undefined) waiter.unlisten();
  }

  #reject(waiter: Waiter<S, C>, error: unknown): void {
    this.#leave(waiter);
    waiter.reject(error);
    this.#state.dropIfEmpty(waiter.bucket);
  }

  #expire(waiter: Waiter<S, C>): void {
    const { bucket, sinceMs } = waiter;
    const waitedMs = Math.round(this.#state.clock.now() - sinceMs);
    const code = this.#state.blocked.has(bucket) ? "pool_capacity" : "acquire_timeout";
    const facts = { waitedMs, sessions: bucket.live, connecting: bucket.slots.size };
    this.#reject(waiter, this.refusal(bucket, code, "no session became free in time", facts));
  }
}
