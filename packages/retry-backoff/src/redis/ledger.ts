import { randomUUID } from "node:crypto";

/** Deposits, retries that were paid from what calls had earned, and retries that were paid from the floor. */
export type Totals = readonly [deposits: number, earnedSpent: number, floorSpent: number];

/**
 * What happened to an account in this process and Redis has to be told: as totals since this object began, so that what
 * is told twice, because no answer came, is booked once.
 */
export class Ledger {
  /** Names this life of the account: the totals of the next one begin anew. */
  readonly id: string = randomUUID();
  deposits = 0;
  /** Of the retries that this process granted alone. */
  earnedSpent = 0;
  floorSpent = 0;
  #booked: Totals = [0, 0, 0];

  get totals(): Totals {
    return [this.deposits, this.earnedSpent, this.floorSpent];
  }

  /** What Redis is known to have booked. */
  get booked(): Totals {
    return this.#booked;
  }

  /** Whether Redis knows everything. */
  get settled(): boolean {
    const [deposits, earnedSpent, floorSpent] = this.#booked;
    return this.deposits === deposits && this.earnedSpent === earnedSpent && this.floorSpent === floorSpent;
  }

  /** Notes what Redis has booked. An answer that comes late takes nothing back. */
  acknowledge([deposits, earnedSpent, floorSpent]: Totals): void {
    const [a, b, c] = this.#booked;
    this.#booked = [Math.max(a, deposits), Math.max(b, earnedSpent), Math.max(c, floorSpent)];
  }
}
