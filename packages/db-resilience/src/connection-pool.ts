import { classifyDbError } from "./classify-db-error.ts";
import type { Clock, TimerHandle } from "./clock.ts";
import { ConnectionOpener } from "./connection-opener.ts";
import type { DatabaseError } from "./errors.ts";
import { IdleConnections, isFarewell } from "./idle-connections.ts";
import { LeakDetector } from "./leak-detector.ts";
import type { ParsedOptions } from "./options.ts";
import type { AcquireOptions, PoolContext, PoolStats } from "./pool-context.ts";
import type { PooledConnection } from "./pooled-connection.ts";
import { aborted, closedError } from "./refusals.ts";
import { deadlineTaint } from "./statement-run.ts";
import { WaitingRoom } from "./waiting-room.ts";

const reapIntervalMs = 500;

/** The connections to one host: bounded, handed out first come first served, thrown away on any doubt. */
export class ConnectionPool {
  readonly #options: ParsedOptions["pool"];
  readonly #context: PoolContext;
  readonly #clock: Clock;
  readonly #waiters: WaitingRoom;
  readonly #max: number;
  readonly #idle: IdleConnections;
  readonly #busy = new Set<PooledConnection>();
  readonly #leaks: LeakDetector | undefined;
  #closing = 0;
  #validating = 0;
  /** So many connections are opened ahead of need to replace those of a generation that has ended. */
  #restock = 0;
  readonly #opener: ConnectionOpener;
  #closed = false;
  #reaper: TimerHandle | undefined;
  #drained: (() => void)[] = [];

  constructor(options: ParsedOptions["pool"], context: PoolContext) {
    this.#options = options;
    this.#context = context;
    this.#clock = context.clock;
    this.#waiters = new WaitingRoom(options, context);
    this.#idle = new IdleConnections(options, context.clock, {
      close: (connection, reason) => this.#discard(connection, reason),
      ask: (connection) => void this.#keepAlive(connection),
    });
    this.#opener = new ConnectionOpener(options, context, {
      lost: (connection, error) => this.#onLost(connection, error),
      again: () => this.#fill(),
    });
    this.#max = options.size + options.overflow;
    if (options.leakDetectionMs > 0) {
      this.#leaks = new LeakDetector(options.leakDetectionMs, context.clock, (event) => context.event(event));
    }
    this.#scheduleReaper();
  }

  /**
   * Hands out a connection that is alive.
   *
   * @throws DatabaseError `pool_exhausted` when none came free in time or too many wait, `db_unavailable`, `db_aborted`.
   */
  async acquire({
    signal,
    timeoutMs = this.#options.acquireTimeoutMs,
  }: AcquireOptions = {}): Promise<PooledConnection> {
    const deadline = this.#clock.monotonic() + timeoutMs;
    for (;;) {
      const refusal = this.#closed ? closedError() : this.#context.refusal();
      if (refusal) throw refusal;
      if (signal?.aborted) throw aborted(signal.reason);
      // Those who wait already come first.
      const connection =
        (this.#waiters.length === 0 ? this.#takeIdle() : undefined) ?? (await this.#wait(deadline, signal));
      const fresh = this.#clock.monotonic() - connection.lastUsedAtMs <= this.#options.validateIdleAfterMs;
      if (fresh && !connection.isLost) return this.#checkOut(connection);
      if (await this.#isAlive(connection)) return this.#checkOut(connection);
    }
  }

  /** Takes a connection back; one that is in any doubt is destroyed. */
  release(connection: PooledConnection): void {
    if (!this.#busy.delete(connection)) return;
    this.#leaks?.returned(connection);
    this.#putBack(connection);
  }

  /**
   * Throws away every connection of the present generation, idle ones now, others when they come back, and opens as
   * many as were kept.
   */
  invalidate(reason: string): void {
    this.#context.event({ type: "db_generation", generation: this.#idle.endGeneration(), reason });
    this.#restock = Math.max(this.#restock, Math.min(this.#options.size, this.#idle.length));
    this.#idle.clear(reason);
    this.#fill();
  }

  /** Refuses everybody who waits. */
  failWaiters(error: () => DatabaseError): void {
    this.#waiters.failAll(error);
  }

  /** Opens what is missing: for those who wait, and up to `min`. */
  refill(): void {
    this.#opener.reset();
    this.#fill();
  }

  stats(): PoolStats {
    return {
      checkedOut: this.#busy.size,
      idle: this.#idle.length,
      connecting: this.#opener.connecting,
      closing: this.#closing,
      waiting: this.#waiters.length,
      min: this.#options.min,
      size: this.#options.size,
      max: this.#max,
      generation: this.#idle.generation,
      opened: this.#opener.opened,
      connectAttempts: this.#opener.attempts,
      exhausted: this.#waiters.refused,
    };
  }

  /** Takes no more callers, waits for connections in use until `deadlineMs`, then destroys them. */
  async close(deadlineMs: number): Promise<void> {
    this.#closed = true;
    this.#clock.clearTimeout(this.#reaper);
    this.#opener.close();
    this.#waiters.failAll(closedError);
    this.#idle.clear("the pool was closed");
    if (this.#busy.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.setTimeout(resolve, deadlineMs);
        this.#drained.push(() => {
          this.#clock.clearTimeout(timer);
          resolve();
        });
      });
    }
    for (const connection of this.#busy) connection.destroy();
  }

  get #total(): number {
    const moving = this.#opener.connecting + this.#closing + this.#validating;
    return this.#idle.length + this.#busy.size + moving;
  }

  #checkOut(connection: PooledConnection): PooledConnection {
    this.#validating--;
    this.#busy.add(connection);
    this.#leaks?.lent(connection);
    connection.keepProcessAlive(true);
    return connection;
  }

  #takeIdle(): PooledConnection | undefined {
    const connection = this.#idle.take();
    if (connection) this.#validating++;
    return connection;
  }

  /** Asks a connection that counts as `validating`; when there is no answer it is thrown away. */
  async #isAlive(connection: PooledConnection): Promise<boolean> {
    connection.keepProcessAlive(true);
    if (await connection.validate()) return true;
    this.#validating--;
    const { generation } = connection;
    this.#discard(connection, "it did not answer");
    // If this one is dead without having said so, the others of its time are too.
    if (generation === this.#idle.generation) this.invalidate("a connection did not answer");
    this.#context.suspect(undefined);
    return false;
  }

  #wait(deadline: number, signal: AbortSignal | undefined): Promise<PooledConnection> {
    const wait = this.#waiters.wait({
      timeoutMs: Math.max(0, deadline - this.#clock.monotonic()),
      signal,
      coming: this.#max - this.#total + this.#opener.connecting,
      allInUse: () => this.#busy.size + this.#validating + this.#closing >= this.#max,
    });
    this.#fill();
    return wait;
  }

  #putBack(connection: PooledConnection): void {
    const doubt = connection.unusable ?? this.#idle.doubt(connection);
    if (this.#closed || doubt !== undefined) {
      if (doubt === deadlineTaint) this.#context.suspect(undefined);
      this.#discard(connection, doubt ?? "the pool was closed");
      if (this.#busy.size === 0) for (const resolve of this.#drained.splice(0)) resolve();
      this.#fill();
      return;
    }
    connection.lastUsedAtMs = this.#clock.monotonic();
    this.#validating++;
    if (this.#waiters.giveToFirst(connection)) return;
    this.#validating--;
    connection.keepProcessAlive(false);
    this.#idle.put(connection);
  }

  #discard(connection: PooledConnection, reason: string): void {
    this.#closing++;
    this.#context.event({ type: "db_connection_closed", reason });
    if (isFarewell(reason)) connection.end();
    else if (!connection.isLost) connection.abandon();
    void connection.closed.then(() => {
      this.#closing--;
      this.#fill();
    });
  }

  #fill(): void {
    if (this.#closed) return;
    while (this.#lacksOne()) void this.#open();
  }

  #lacksOne(): boolean {
    if (this.#total >= this.#max || this.#context.refusal() || !this.#opener.ready) return false;
    if (this.#waiters.length > this.#opener.connecting + this.#validating) return true;
    const live = this.#total - this.#closing;
    if (live >= this.#restock) this.#restock = 0;
    return live < Math.max(this.#options.min, this.#restock);
  }

  async #open(): Promise<void> {
    const connection = await this.#opener.open(this.#idle.generation);
    if (connection) this.#putBack(connection);
  }

  #onLost(connection: PooledConnection, error: unknown): void {
    // What ended this session alone, such as a timeout of its own, says nothing of the others.
    const { serverAway } = classifyDbError(error);
    if (serverAway && !this.#closed && connection.generation === this.#idle.generation) {
      this.invalidate("a connection was lost");
    } else this.#idle.close(connection, "the connection was lost");
    if (!this.#closed) this.#context.suspect(error);
  }

  #scheduleReaper(): void {
    this.#reaper = this.#clock.setTimeout(() => {
      this.#reap();
      this.#scheduleReaper();
    }, reapIntervalMs);
    this.#reaper.unref?.();
  }

  #reap(): void {
    this.#idle.tend(() => this.#total - this.#closing);
    this.#leaks?.report(this.#clock.monotonic());
    this.#fill();
  }

  async #keepAlive(connection: PooledConnection): Promise<void> {
    this.#validating++;
    if (!(await this.#isAlive(connection))) return;
    this.#validating--;
    this.#putBack(connection);
  }
}
