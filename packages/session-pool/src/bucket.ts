import type { Entry } from "./entry.ts";
import type { Scope } from "./scope.ts";
import type { ServerState } from "./server-state.ts";
import type { CloseReason } from "./session-factory.ts";
import type { SessionKey } from "./session-key.ts";
import { type Waiter, WaiterQueue } from "./waiter.ts";

/** A session being opened; owned by the pool. */
export interface Slot<C> {
  readonly abort: AbortController;
  readonly context: C | undefined;
  /** Whether it is the breaker's one trial. */
  readonly trial: boolean;
  /** Given up by drain or close. */
  cancelled: boolean;
  /** Why a session is closed that comes when nobody waits for it any more. */
  lateReason: CloseReason;
}

/** All that belongs to one key: its sessions, those being opened, and who waits for one. */
export class Bucket<S, C> {
  readonly key: SessionKey;
  readonly server: ServerState;
  /** The hard caps it counts against. */
  readonly scopes: readonly Scope[];
  readonly stateful: boolean;
  maxConcurrency = 1;
  maxSessions = 1;
  readonly entries = new Set<Entry<S, C>>();
  /** Live sessions that can take one more lease, the warmest last. */
  readonly available: Entry<S, C>[] = [];
  readonly waiters = new WaiterQueue<S, C>();
  readonly slots = new Set<Slot<C>>();
  /** Entries in state live. */
  live = 0;
  /** Live entries being probed. */
  validating = 0;
  /** Sessions on their way out. */
  closing = 0;
  /** Its place among the keys that wait for room under a hard cap. */
  rank: number | undefined = undefined;

  constructor(key: SessionKey, server: ServerState, scopes: readonly Scope[]) {
    this.key = key;
    this.server = server;
    this.scopes = scopes;
    this.stateful = key.strategy === "downstream";
  }

  get isEmpty(): boolean {
    return this.entries.size + this.slots.size + this.waiters.size + this.closing === 0;
  }

  /** Whether a session is there or on its way. */
  get hasHope(): boolean {
    return this.live > 0 || this.slots.size > 0;
  }

  /** Callers for whom a session is on its way. */
  get #covered(): number {
    return (this.slots.size + this.validating) * this.maxConcurrency;
  }

  /** Whether a caller waits for whom no session is on its way, and the key may have one more. */
  get wants(): boolean {
    return this.live + this.slots.size < this.maxSessions && this.#covered < this.waiters.size;
  }

  /** The first caller for whom no session is on its way, if the key may have one more. */
  get wanting(): Waiter<S, C> | undefined {
    if (!this.wants) return undefined;
    let covered = this.#covered;
    let waiter = this.waiters.head;
    for (; covered > 0; covered--) waiter = waiter?.next;
    return waiter;
  }

  withdraw(entry: Entry<S, C>): void {
    const at = this.available.indexOf(entry);
    if (at >= 0) this.available.splice(at, 1);
  }
}
