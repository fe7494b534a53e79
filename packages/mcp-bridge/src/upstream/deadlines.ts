/** Something that ends by itself at a given time. The links belong to {@link Deadlines}. */
export interface Expiring {
  /** `performance.now()` at which it ends. */
  deadlineAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  /** Called once its time is over; it has left the list then. */
  expire(): void;
}

/** How soon a deadline that was just set is looked at, so that most are gone by then. */
const FIRST_LOOK_MS = 10;
const LATER_LOOK_MS = 100;

/**
 * The deadlines of many requests behind one timer. Nearly every request is answered before its own, so it only
 * enters and leaves a list: a timer for each would cost more than all else that a request waits by.
 */
export class Deadlines {
  #head: Expiring | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  add(node: Expiring, now = performance.now()): void {
    node.next = this.#head;
    if (this.#head !== undefined) this.#head.previous = node;
    this.#head = node;
    if (node.deadlineAt < this.#timerAt) this.#arm(Math.min(node.deadlineAt, now + FIRST_LOOK_MS), now);
  }

  /** Takes out one that was added and has not expired. */
  remove(node: Expiring): void {
    if (node.previous !== undefined) node.previous.next = node.next;
    else if (this.#head === node) this.#head = node.next;
    if (node.next !== undefined) node.next.previous = node.previous;
    node.previous = undefined;
    node.next = undefined;
  }

  #arm(at: number, now: number): void {
    if (at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#look(), Math.max(0, Math.ceil(at - now)));
  }

  #look(): void {
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    const due: Expiring[] = [];
    let nearest = Number.POSITIVE_INFINITY;
    for (let node = this.#head; node !== undefined; node = node.next) {
      if (node.deadlineAt <= now) due.push(node);
      else nearest = Math.min(nearest, node.deadlineAt);
    }
    for (const node of due) this.remove(node);
    for (const node of due) node.expire();
    if (this.#head !== undefined) this.#arm(Math.min(nearest, now + LATER_LOOK_MS), now);
  }
}
