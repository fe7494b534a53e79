import type { Clock, ClockTimer } from "./clock.ts";
import type { Waiter } from "./waiter.ts";

const TICK_MS = 5;

/**
 * Deadlines of all waiters behind one timer: a hashed timing wheel with one list per tick
 * (Varghese & Lauck 1987, scheme 6), so that a waiter that is served in time costs no timer of its own.
 */
export class WaitTimeouts<S, C> {
  readonly #clock: Clock;
  readonly #expired: (waiter: Waiter<S, C>) => void;
  readonly #ticks = new Map<number, Waiter<S, C> | undefined>();
  #timer: ClockTimer | undefined = undefined;
  #armedTick = Number.POSITIVE_INFINITY;
  #size = 0;

  constructor(clock: Clock, expired: (waiter: Waiter<S, C>) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  add(waiter: Waiter<S, C>): void {
    const tick = tickOf(waiter);
    const head = this.#ticks.get(tick);
    if (head !== undefined) {
      head.wheelPrev = waiter;
      waiter.wheelNext = head;
    }
    this.#ticks.set(tick, waiter);
    this.#size++;
    if (tick < this.#armedTick) this.#arm(tick);
  }

  remove(waiter: Waiter<S, C>): void {
    if (waiter.wheelPrev === undefined) this.#ticks.set(tickOf(waiter), waiter.wheelNext);
    else waiter.wheelPrev.wheelNext = waiter.wheelNext;
    if (waiter.wheelNext !== undefined) waiter.wheelNext.wheelPrev = waiter.wheelPrev;
    waiter.wheelNext = undefined;
    waiter.wheelPrev = undefined;
    if (--this.#size === 0) this.#disarm();
  }

  #arm(tick: number): void {
    this.#timer?.cancel();
    this.#armedTick = tick;
    this.#timer = this.#clock.setTimer(
      () => this.#fire(),
      Math.max(0, tick * TICK_MS - this.#clock.now()),
      false,
    );
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#armedTick = Number.POSITIVE_INFINITY;
    this.#ticks.clear();
  }

  #fire(): void {
    this.#timer = undefined;
    this.#armedTick = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.now();
    for (const tick of [...this.#ticks.keys()].sort((a, b) => a - b)) {
      if (tick * TICK_MS > nowMs) {
        if (this.#ticks.get(tick) === undefined) {
          this.#ticks.delete(tick);
          continue;
        }
        if (tick < this.#armedTick) this.#arm(tick);
        break;
      }
      for (let waiter = this.#ticks.get(tick); waiter !== undefined; waiter = this.#ticks.get(tick)) {
        this.#expired(waiter);
      }
      this.#ticks.delete(tick);
    }
  }
}

function tickOf(waiter: { readonly deadlineMs: number }): number {
  return Math.ceil(waiter.deadlineMs / TICK_MS);
}
