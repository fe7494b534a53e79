import type { Breaker } from "./breaker.ts";
import { Histogram } from "./histogram.ts";
import type { Scope } from "./scope.ts";

/** What the pool knows about one upstream server. */
export class ServerState {
  readonly id: string;
  readonly scope: Scope;
  readonly breaker: Breaker;
  readonly latency = new Histogram();
  totalUses = 0;
  errors = 0;
  /** Monotonic; `undefined` before the first use. */
  lastUsedMs: number | undefined = undefined;

  constructor(id: string, scope: Scope, breaker: Breaker) {
    this.id = id;
    this.scope = scope;
    this.breaker = breaker;
  }

  used(nowMs: number, heldMs: number, failed: boolean): void {
    this.totalUses++;
    if (failed) this.errors++;
    this.lastUsedMs = nowMs;
    this.latency.record(heldMs);
  }
}
