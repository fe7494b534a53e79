import type { Bucket } from "./bucket.ts";
import type { Lease } from "./lease.ts";
import type { TickList } from "./wait-timeouts.ts";

/** A caller that waits for a session; a node of two linked lists, its key's queue and the timeout wheel. */
export class Waiter<S, C> {
  readonly bucket: Bucket<S, C>;
  readonly resolve: (lease: Lease<S>) => void;
  readonly reject: (error: unknown) => void;
  readonly context: C | undefined;
  readonly probe: boolean;
  readonly sinceMs: number;
  /** Order of arrival over all keys. */
  readonly seq: number;
  /** Ends listening to the caller's abort signal. */
  unlisten: (() => void) | undefined = undefined;
  next: Waiter<S, C> | undefined = undefined;
  prev: Waiter<S, C> | undefined = undefined;
  /** Its list in the timeout wheel. */
  tick: TickList<S, C> | undefined = undefined;
  wheelNext: Waiter<S, C> | undefined = undefined;
  wheelPrev: Waiter<S, C> | undefined = undefined;

  constructor(
    bucket: Bucket<S, C>,
    resolve: (lease: Lease<S>) => void,
    reject: (error: unknown) => void,
    context: C | undefined,
    probe: boolean,
    sinceMs: number,
    seq: number,
  ) {
    this.bucket = bucket;
    this.resolve = resolve;
    this.reject = reject;
    this.context = context;
    this.probe = probe;
    this.sinceMs = sinceMs;
    this.seq = seq;
  }
}

/** First in, first out; a waiter that gave up leaves from the middle at no cost. */
export class WaiterQueue<S, C> {
  #head: Waiter<S, C> | undefined = undefined;
  #tail: Waiter<S, C> | undefined = undefined;
  size = 0;

  get head(): Waiter<S, C> | undefined {
    return this.#head;
  }

  push(waiter: Waiter<S, C>): void {
    waiter.prev = this.#tail;
    if (this.#tail === undefined) this.#head = waiter;
    else this.#tail.next = waiter;
    this.#tail = waiter;
    this.size++;
  }

  remove(waiter: Waiter<S, C>): void {
    if (waiter.prev === undefined) this.#head = waiter.next;
    else waiter.prev.next = waiter.next;
    if (waiter.next === undefined) this.#tail = waiter.prev;
    else waiter.next.prev = waiter.prev;
    waiter.next = undefined;
    waiter.prev = undefined;
    this.size--;
  }
}
