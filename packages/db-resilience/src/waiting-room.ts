import type { DatabaseError } from "./errors.ts";
import type { ParsedOptions } from "./options.ts";
import type { PoolContext } from "./pool-context.ts";
import type { PooledConnection } from "./pooled-connection.ts";
import { poolExhausted, unavailable } from "./refusals.ts";
import { WaiterQueue } from "./waiter-queue.ts";

/** One caller's wait. */
export interface Wait {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** Connections that can still be opened, or are being opened: so many callers more may wait. */
  readonly coming: number;
  /** Whether all connections there may be are in use, when the time is over. */
  allInUse(): boolean;
}

/** Where callers wait for a connection of a pool: first come first served, not too many, each not for too long. */
export class WaitingRoom {
  readonly #maxWaiting: number;
  readonly #context: PoolContext;
  readonly #queue: WaiterQueue<PooledConnection>;
  #refused = 0;

  constructor({ maxWaiting }: ParsedOptions["pool"], context: PoolContext) {
    this.#maxWaiting = maxWaiting;
    this.#context = context;
    this.#queue = new WaiterQueue(context.clock);
  }

  /** How many wait. */
  get length(): number {
    return this.#queue.length;
  }

  /** Callers refused since the start because nothing came free. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * Waits for a connection.
   *
   * @throws DatabaseError `pool_exhausted` at once when too many wait, or when the time is over; `db_unavailable` when no
   * connection could be opened by then
   */
  wait({ timeoutMs, signal, coming, allInUse }: Wait): Promise<PooledConnection> {
    if (this.length >= this.#maxWaiting + coming) return Promise.reject(this.#refuse("queue_full"));
    const late = () =>
      this.#context.refusal() ??
      (allInUse() ? this.#refuse("timeout") : unavailable("no connection could be opened in time"));
    return this.#queue.wait(timeoutMs, late, signal);
  }

  /** Gives a connection to the caller who has waited longest; false when nobody waits. */
  giveToFirst(connection: PooledConnection): boolean {
    return this.#queue.giveToFirst(connection);
  }

  /** Refuses everybody. */
  failAll(error: () => DatabaseError): void {
    this.#queue.failAll(error);
  }

  #refuse(reason: "timeout" | "queue_full"): DatabaseError {
    const waiting = this.length;
    this.#refused++;
    this.#context.event({ type: "db_pool_exhausted", waiting, reason });
    return poolExhausted(reason, waiting);
  }
}
