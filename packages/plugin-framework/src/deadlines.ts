import type { Clock, Timer } from "./clock.ts";

/** Something that must end by a given time. The links belong to {@link Deadlines}. */
export interface DeadlineNode {
  deadlineAt: number;
  previous: DeadlineNode | undefined;
  next: DeadlineNode | undefined;
  expire(): void;
}

const FIRST_LOOK_MS = 10;
const LATER_LOOK_MS = 100;

/**
 * All deadlines of a pipeline behind one lazily armed timer. A handler that answers at once only enters and
 * leaves a linked list; the timer is touched when the list was idle or an earlier deadline arrives. It looks at
 * the nearest deadline, or after 100 ms, and is not armed again when nothing waits.
 */
export class Deadlines {
  readonly #clock: Clock;
  #head: DeadlineNode | undefined;
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `now` is a reading that the caller has already taken. */
  add(node: DeadlineNode, now: number): void {
    node.previous = undefined;
    node.next = this.#head;
    if (this.#head !== undefined) this.#head.previous = node;
    this.#head = node;
    if (node.deadlineAt < this.#timerAt) this.#arm(Math.min(node.deadlineAt, now + FIRST_LOOK_MS), now);
  }

  remove(node: DeadlineNode): void {
    if (node.previous !== undefined) node.previous.next = node.next;
    else if (this.#head === node) this.#head = node.next;
    if (node.next !== undefined) node.next.previous = node.previous;
    node.previous = undefined;
    node.next = undefined;
  }

  #arm(at: number, now: number): void {
    if (at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.setTimer(() => this.#look(), Math.max(0, Math.ceil(at - now)));
  }

  #look(): void {
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    const due: DeadlineNode[] = [];
    let nearest = Number.POSITIVE_INFINITY;
    for (let node = this.#head; node !== undefined; node = node.next) {
      if (node.deadlineAt <= now) due.push(node);
      else nearest = Math.min(nearest, node.deadlineAt);
    }
    for (const node of due) {
      this.remove(node);
      node.expire();
    }
    if (this.#head !== undefined) this.#arm(Math.min(nearest, now + LATER_LOOK_MS), now);
  }
}
