import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import { DatabaseError } from "./errors.ts";
import type { HostRouter } from "./host-router.ts";
import type { ParsedOptions } from "./options.ts";
import { PooledConnection } from "./pooled-connection.ts";
import { sleep } from "./sleep.ts";

/** What is told of a channel. */
export interface ChannelHearer {
  /** Something was sent to the channel. */
  notified(payload: string): void;
  /** Listening has begun, or begun anew: what was sent before was not heard. */
  listening?(): void;
}

/** What a listener needs. */
export interface ChannelListenerDeps {
  readonly router: HostRouter;
  readonly options: ParsedOptions;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Pause before another attempt: at least, and at most. */
const minRetryMs = 500;
const maxRetryMs = 1_000;
/** How often a connection that is silent is asked whether it is alive. */
const signOfLifeMs = 10_000;

/** Listens on one channel of the server for writes, and of whoever takes its place. */
export class ChannelListener {
  readonly #channel: string;
  readonly #hearer: ChannelHearer;
  readonly #deps: ChannelListenerDeps;
  readonly #stop = new AbortController();

  constructor(channel: string, hearer: ChannelHearer, deps: ChannelListenerDeps) {
    if (deps.options.pooler !== "none") throw behindPooler();
    this.#channel = channel;
    this.#hearer = hearer;
    this.#deps = deps;
    void this.#run();
  }

  /** Ends it and its connection; idempotent. */
  close(): void {
    this.#stop.abort();
  }

  /** A hearer's own fault must not end the process from a socket's event. */
  #tell(call: () => void): void {
    try {
      call();
    } catch {
      // There is nobody else to tell.
    }
  }

  async #run(): Promise<void> {
    const { router, clock, random } = this.#deps;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const [host] = router.candidates();
      // A host that is down is not connected to from here: its monitor looks after it.
      if (host) await this.#listen(host).catch(() => {});
      const pauseMs = minRetryMs + random() * (maxRetryMs - minRetryMs);
      await sleep(clock, pauseMs, signal, true).catch(() => {});
    }
  }

  /** Resolves when the connection is lost, or the host is no longer the one to listen to. */
  async #listen(host: DatabaseHost): Promise<void> {
    const { router, options, clock } = this.#deps;
    const { signal } = this.#stop;
    const events = {
      lost: () => {},
      notified: (channel: string, payload: string) => {
        if (channel === this.#channel) this.#tell(() => this.#hearer.notified(payload));
      },
    };
    const connection = await PooledConnection.open(host.address, options, clock, events, {
      role: "listener",
      signal,
    });
    connection.keepProcessAlive(false);
    try {
      await connection.query(`listen "${this.#channel.replaceAll('"', '""')}"`, undefined, { signal });
      this.#tell(() => this.#hearer.listening?.());
      let askedAt = clock.monotonic();
      while (!connection.isLost && !signal.aborted && router.candidates()[0] === host) {
        await Promise.race([
          connection.closed,
          sleep(clock, options.monitor.intervalMs, signal, true).catch(() => {}),
        ]);
        if (clock.monotonic() - askedAt < signOfLifeMs) continue;
        askedAt = clock.monotonic();
        if (!(await connection.validate())) return;
      }
    } finally {
      connection.destroy();
    }
  }
}

function behindPooler(): DatabaseError {
  return new DatabaseError({
    code: "db_options_invalid",
    class: "client",
    message: "Wrong options: a pooler delivers no notifications; listen on a direct connection.",
    retryable: false,
    httpStatus: 500,
  });
}
