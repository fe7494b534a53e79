import type { Clock } from "./clock.ts";
import { ConnectionPool } from "./connection-pool.ts";
import type { DatabaseError } from "./errors.ts";
import type { HostInfo } from "./host-info.ts";
import { HostMonitor, type HostState } from "./host-monitor.ts";
import type { DatabaseObserver } from "./observer.ts";
import type { HostAddress, ParsedOptions } from "./options.ts";
import type { PoolStats } from "./pool-context.ts";
import { PooledConnection } from "./pooled-connection.ts";
import { misconfigured, unavailable } from "./refusals.ts";

/** What a host shares with the whole. */
export interface HostContext {
  readonly clock: Clock;
  readonly random: () => number;
  readonly observer: DatabaseObserver;
  /** Pause between two checks of a host that is up. */
  monitorIntervalMs(): number;
  /** The host was checked. */
  checked(host: DatabaseHost, before: HostState, after: HostState): void;
}

/** One server: its address, the pool of connections to it and the monitor that knows its state. */
export class DatabaseHost {
  readonly address: Required<HostAddress>;
  /** "host:port", for events and readiness. */
  readonly name: string;
  readonly pool: ConnectionPool;
  readonly #monitor: HostMonitor;
  readonly #options: ParsedOptions;

  constructor(address: Required<HostAddress>, options: ParsedOptions, context: HostContext) {
    const { clock, random, observer } = context;
    this.address = address;
    this.#options = options;
    const name = `${address.host}:${address.port}`;
    this.name = name;
    this.pool = new ConnectionPool(options.pool, {
      clock,
      random,
      refusal: () => this.refusal(),
      suspect: () => this.#monitor.checkNow(),
      alive: () => this.#monitor.noteAlive(),
      event: (event) => observer.event?.({ ...event, host: name }),
      open: async (lost) => {
        const start = clock.monotonic();
        try {
          const connection = await PooledConnection.open(address, options, clock, {
            lost,
            measured: (durationMs, outcome) => {
              if (outcome === "ok") this.#monitor.noteAlive();
              observer.query?.({ host: name, durationMs, outcome });
            },
          });
          observer.connected?.({ host: name, durationMs: clock.monotonic() - start, ok: true });
          return connection;
        } catch (error) {
          observer.connected?.({ host: name, durationMs: clock.monotonic() - start, ok: false });
          throw error;
        }
      },
    });
    this.#monitor = new HostMonitor(options, {
      clock,
      random,
      intervalMs: () => context.monitorIntervalMs(),
      open: (signal) =>
        PooledConnection.open(
          address,
          options,
          clock,
          { lost: () => this.#monitor.checkNow() },
          { role: "monitor", signal },
        ),
      checked: (before, after) => {
        if (after.kind === "down" && before.kind !== "down") {
          observer.event?.({ type: "db_state", host: name, state: "down", reason: after.reason });
        }
        if (after.kind === "up" && before.kind !== "up")
          observer.event?.({ type: "db_state", host: name, state: "up" });
        if (after.kind === "up" && before.kind !== "up") this.pool.refill();
        if (after.kind === "down") {
          if (before.kind === "up") this.pool.invalidate("the host is down");
          this.pool.failWaiters(() => this.refusal() ?? unavailable(after.reason));
        }
        if (before.kind === "up" && after.kind === "up" && takesWritesAgain(before.info, after.info))
          this.pool.invalidate("its sessions were opened as read-only");
        context.checked(this, before, after);
      },
    });
  }

  get state(): HostState {
    return this.#monitor.state;
  }

  /** What the server said of itself when it was last asked, while it is up. */
  get info(): HostInfo | undefined {
    const { state } = this;
    return state.kind === "up" ? state.info : undefined;
  }

  /** The error for callers while the host is down. */
  refusal(): DatabaseError | undefined {
    const { state } = this;
    if (state.kind !== "down") return undefined;
    if (state.reason === "config") return misconfigured(state.error);
    return unavailable(state.reason, this.#options.monitor.maxRetryMs, state.error);
  }

  /** Asks the host again, with `fresh` in a new session, and resolves when it has answered or failed to. */
  recheck(how?: { readonly fresh: boolean }): Promise<void> {
    return this.#monitor.nextCheck(how);
  }

  /** The host should be asked again soon. */
  suspect(): void {
    this.#monitor.checkNow();
  }

  stats(): { readonly host: string; readonly state: HostState["kind"] } & PoolStats {
    return { host: this.name, state: this.state.kind, ...this.pool.stats() };
  }

  async close(deadlineMs: number): Promise<void> {
    await Promise.all([this.pool.close(deadlineMs), this.#monitor.close()]);
  }
}

/** Sessions that were opened before may go on refusing writes. A promoted standby's do not. */
function takesWritesAgain(before: HostInfo, after: HostInfo): boolean {
  return before.readOnly && !before.standby && !after.readOnly;
}
