import { classifyDbError } from "./classify-db-error.ts";
import type { Clock, TimerHandle } from "./clock.ts";
import { askHost, type HostInfo } from "./host-info.ts";
import type { ParsedOptions } from "./options.ts";
import type { PooledConnection } from "./pooled-connection.ts";

/** Why a host is down: nobody there, or nobody who would let us in. */
export type DownReason = "connection" | "config" | "timeout";

/** The breaker of a host. `down` is open; each check of a host that is down is the half-open probe. */
export type HostState =
  | { readonly kind: "starting" }
  | { readonly kind: "up"; readonly sinceMs: number; readonly info: HostInfo }
  | { readonly kind: "down"; readonly sinceMs: number; readonly reason: DownReason; readonly error: unknown };

/** What a monitor needs. */
export interface MonitorContext {
  readonly clock: Clock;
  readonly random: () => number;
  open(signal: AbortSignal): Promise<PooledConnection>;
  /** Pause between two checks of a host that is up. */
  intervalMs(): number;
  /** Called after every check, with the state before and after it. */
  checked(before: HostState, after: HostState): void;
}

/** How old the monitor's session may be where what it was opened with has to be what new sessions are opened with. */
const freshMs = 2_000;

/** Shortest pause between two checks of a host that is up, however many callers suspect it. */
const minGapMs = 50;

/**
 * Watches one host on a connection of its own: its answers are the truth about up or down, so that many
 * callers in trouble cause one check and, while the host is down, one attempt to connect at a time.
 */
export class HostMonitor {
  readonly #options: ParsedOptions;
  readonly #context: MonitorContext;
  readonly #stop = new AbortController();
  #connection: PooledConnection | undefined;
  #state: HostState = { kind: "starting" };
  #waiting: { readonly timer: TimerHandle; readonly resolve: () => void } | undefined;
  #checkAgain = false;
  #wantsFresh = false;
  #lastAliveMs = Number.NEGATIVE_INFINITY;
  #rounds: (() => void)[] = [];
  readonly #loop: Promise<void>;

  constructor(options: ParsedOptions, context: MonitorContext) {
    this.#options = options;
    this.#context = context;
    this.#loop = this.#run();
  }

  get state(): HostState {
    return this.#state;
  }

  /** A statement has been answered: the host is alive whatever a slow check says. */
  noteAlive(): void {
    this.#lastAliveMs = this.#context.clock.monotonic();
  }

  /** Checks as soon as possible; a host that is down keeps to its pauses. */
  checkNow(): void {
    if (this.#state.kind === "down") return;
    if (this.#waiting) this.#wake();
    else this.#checkAgain = true;
  }

  /**
   * Resolves when the next check that begins from now on has ended. With `fresh` it asks in a new session: a default of
   * the role or the database, such as `default_transaction_read_only`, is not heard of in an old one.
   */
  async nextCheck({ fresh = false } = {}): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#wantsFresh ||= fresh;
    const done = new Promise<void>((resolve) => this.#rounds.push(resolve));
    this.checkNow();
    await done;
  }

  /** Ends the loop and its connection; idempotent. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#connection?.destroy();
    this.#wake();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock } = this.#context;
    while (!this.#stop.signal.aborted) {
      this.#checkAgain = false;
      const rounds = this.#rounds.splice(0);
      const startMs = clock.monotonic();
      const after = await this.#check(startMs);
      if (this.#stop.signal.aborted) break;
      const before = this.#state;
      this.#state = after;
      this.#context.checked(before, after);
      for (const resolve of rounds) resolve();
      await this.#pause(startMs);
    }
    for (const resolve of this.#rounds.splice(0)) resolve();
    this.#connection?.destroy();
  }

  async #check(startMs: number): Promise<HostState> {
    const before = this.#state;
    try {
      const info = await this.#ask();
      return {
        kind: "up",
        sinceMs: before.kind === "up" ? before.sinceMs : this.#context.clock.monotonic(),
        info,
      };
    } catch (error) {
      if (before.kind === "up" && this.#lastAliveMs >= startMs) return before;
      const row = classifyDbError(error);
      // A server without a slot to spare for us is there, and serves the connections that are open.
      if (before.kind === "up" && row.class === "capacity") return before;
      const reason = row.misconfigured ? "config" : row.class === "timeout" ? "timeout" : "connection";
      return {
        kind: "down",
        sinceMs: before.kind === "down" ? before.sinceMs : this.#context.clock.monotonic(),
        reason,
        error,
      };
    }
  }

  async #ask(): Promise<HostInfo> {
    const { validationTimeoutMs, maxLifetimeMs } = this.#options.pool;
    const old = this.#connection;
    const known = this.#state.kind === "up" ? this.#state.info : undefined;
    const fresh = this.#wantsFresh || (known?.readOnly === true && !known.standby);
    this.#wantsFresh = false;
    const maxAgeMs = fresh ? Math.min(freshMs, maxLifetimeMs) : maxLifetimeMs;
    if (old && this.#context.clock.monotonic() - old.openedAtMs > maxAgeMs) this.#drop();
    if (this.#connection) {
      try {
        return await askHost(this.#connection, validationTimeoutMs);
      } catch {
        this.#drop(); // Perhaps only this connection was lost: a fresh one tells.
      }
    }
    const connection = await this.#context.open(this.#stop.signal);
    connection.keepProcessAlive(false);
    this.#connection = connection;
    try {
      return await askHost(connection, validationTimeoutMs);
    } catch (error) {
      this.#drop();
      throw error;
    }
  }

  #drop(): void {
    this.#connection?.destroy();
    this.#connection = undefined;
  }

  #pause(startMs: number): Promise<void> {
    const { minRetryMs, maxRetryMs } = this.#options.monitor;
    const { clock, random } = this.#context;
    const spent = clock.monotonic() - startMs;
    const down = this.#state.kind === "down";
    const wanted = down
      ? minRetryMs + random() * Math.max(0, maxRetryMs - minRetryMs)
      : this.#context.intervalMs() * (0.9 + 0.2 * random());
    const delayMs = this.#checkAgain && !down ? minGapMs : Math.max(minGapMs, down ? wanted : wanted - spent);
    return new Promise((resolve) => {
      const timer = clock.setTimeout(() => this.#wake(), delayMs);
      timer.unref?.();
      this.#waiting = { timer, resolve };
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#context.clock.clearTimeout(waiting?.timer);
    waiting?.resolve();
  }
}
