import type { Clock, ClockTimer } from "./clock.ts";
import type { Waiter } from "./waiter.ts";

const TICK_MS = 5;

/** Waiters whose deadlines fall into the same tick. */
export interface TickList<S, C> {
  readonly tick: number;
  head: Waiter<S, C> | undefined;
}

/**
 * Deadlines of all waiters behind one timer: a hashed timing wheel with one list per tick
 * (Varghese & Lauck 1987, scheme 6), so that a waiter that is served in time costs no timer of its own.
 */
export class WaitTimeouts<S, C> {
  readonly #clock: Clock;
  readonly #expired: (waiter: Waiter<S, C>) => void;
  readonly #ticks = new Map<number, TickList<S, C>>();
  /** The list used last; waits of one length that begin together end in the same tick. */
  #recent: TickList<S, C> | undefined = undefined;
  #timer: ClockTimer | undefined = undefined;
  #armedTick = Number.POSITIVE_INFINITY;
  #size = 0;

  constructor(clock: Clock, expired: (waiter: Waiter<S, C>) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  add(waiter: Waiter<S, C>, deadlineMs: number): void {
    const list = this.#listOf(Math.ceil(deadlineMs / TICK_MS));
    waiter.tick = list;
    waiter.wheelNext = list.head;
    if (list.head !== undefined) list.head.wheelPrev = waiter;
    list.head = waiter;
    this.#size++;
    if (list.tick < this.#armedTick) this.#arm(list.tick);
  }

  remove(waiter: Waiter<S, C>): void {
    const { tick: list, wheelNext, wheelPrev } = waiter;
    if (list === undefined) return;
    if (wheelPrev === undefined) list.head = wheelNext;
    else wheelPrev.wheelNext = wheelNext;
    if (wheelNext !== undefined) wheelNext.wheelPrev = wheelPrev;
    waiter.tick = undefined;
    waiter.wheelNext = undefined;
    waiter.wheelPrev = undefined;
    if (--this.#size === 0) this.#disarm();
  }

  #listOf(tick: number): TickList<S, C> {
    if (this.#recent?.tick === tick) return this.#recent;
    let list = this.#ticks.get(tick);
    if (list === undefined) {
      list = { tick, head: undefined };
      this.#ticks.set(tick, list);
    }
    this.#recent = list;
    return list;
  }

  #arm(tick: number): void {
    this.#timer?.cancel();
    this.#armedTick = tick;
    const delayMs = Math.max(0, tick * TICK_MS - this.#clock.now());
    this.#timer = this.#clock.setTimer(() => this.#fire(), delayMs, false);
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#armedTick = Number.POSITIVE_INFINITY;
    this.#recent = undefined;
    this.#ticks.clear();
  }

  #fire(): void {
    this.#timer = undefined;
    this.#armedTick = Number.POSITIVE_INFINITY;
    this.#recent = undefined;
    const nowMs = this.#clock.now();
    for (const list of [...this.#ticks.values()].sort((a, b) => a.tick - b.tick)) {
      const due = list.tick * TICK_MS <= nowMs;
      if (!due && list.head !== undefined) {
        if (list.tick < this.#armedTick) this.#arm(list.tick);
        return;
      }
      this.#ticks.delete(list.tick);
      for (let waiter = list.head; waiter !== undefined; waiter = list.head) this.#expired(waiter);
    }
  }
}
