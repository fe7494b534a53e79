import type { Clock } from "./clock.ts";
import type { PoolEvent } from "./pool-context.ts";
import type { PooledConnection } from "./pooled-connection.ts";

interface Use {
  readonly sinceMs: number;
  readonly stack: string;
  reported: boolean;
}

/** Reports connections that are held for long, once each, with the stack of who took them. */
export class LeakDetector {
  readonly #limitMs: number;
  readonly #clock: Clock;
  readonly #event: (event: PoolEvent) => void;
  readonly #uses = new Map<PooledConnection, Use>();

  constructor(limitMs: number, clock: Clock, event: (event: PoolEvent) => void) {
    this.#limitMs = limitMs;
    this.#clock = clock;
    this.#event = event;
  }

  /** A connection was handed out; the stack is taken here. */
  lent(connection: PooledConnection): void {
    const stack = new Error("acquired here").stack ?? "";
    this.#uses.set(connection, { sinceMs: this.#clock.monotonic(), stack, reported: false });
  }

  returned(connection: PooledConnection): void {
    this.#uses.delete(connection);
  }

  report(now: number): void {
    for (const use of this.#uses.values()) {
      const heldMs = now - use.sinceMs;
      if (use.reported || heldMs < this.#limitMs) continue;
      use.reported = true;
      this.#event({ type: "db_leak", heldMs, stack: use.stack });
    }
  }
}
