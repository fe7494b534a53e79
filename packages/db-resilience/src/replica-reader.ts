import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import type { LeasedSession } from "./database-session.ts";
import { DatabaseError } from "./errors.ts";
import type { HostRouter } from "./host-router.ts";
import { lsnValue } from "./lsn.ts";
import type { ParsedOptions } from "./options.ts";
import { primaryOnly, type ReadSession } from "./read-session.ts";
import { deadlinePassed } from "./refusals.ts";
import type { SessionProvider } from "./session-provider.ts";
import { sleep } from "./sleep.ts";
import { within } from "./within.ts";

/** How fresh a read must be. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for a connection; default acquireTimeoutMs. */
  readonly acquireTimeoutMs?: number | undefined;
  /** The read sees at least what was written with this session. */
  readonly session?: ReadSession | undefined;
  /** A standby further behind is not read from; default `replicas.maxLagMs`. */
  readonly maxLagMs?: number | undefined;
}

/** Positions of the primary that are remembered, one per check. */
const historyLength = 256;
const pollMs = 5;

/**
 * Sends reads to standbys that are fresh enough, else to the server for writes. How far a standby is behind is
 * judged by positions of the primary seen at known times, because a standby whose stream is cut or paused
 * cannot tell by itself.
 */
export class ReplicaReader {
  readonly #router: HostRouter;
  readonly #provider: SessionProvider;
  readonly #options: ParsedOptions;
  readonly #clock: Clock;
  readonly #history: { readonly atMs: number; readonly position: bigint }[] = [];
  /** Standbys that did not answer in time and have not been heard of since. */
  readonly #silent = new Set<DatabaseHost>();
  #turn = 0;

  constructor(router: HostRouter, provider: SessionProvider, options: ParsedOptions, clock: Clock) {
    this.#router = router;
    this.#provider = provider;
    this.#options = options;
    this.#clock = clock;
  }

  /** To be called after each check of a host. */
  noteCheck(host: DatabaseHost): void {
    this.#silent.delete(host);
    const { info } = host;
    if (!info || info.standby || host !== this.#router.primary()) return;
    this.#history.push({ atMs: this.#clock.monotonic(), position: lsnValue(info.lsn) });
    if (this.#history.length > historyLength) this.#history.shift();
  }

  /** Runs `work`, which only reads, on a standby or, where none is fresh enough or it fails, on the primary. */
  async read<T>(work: (session: LeasedSession) => Promise<T>, options: ReadOptions): Promise<T> {
    const standby = options.session?.token === primaryOnly ? undefined : this.#nextStandby();
    if (standby) {
      const found = await this.#readFrom(standby, work, options);
      if (found) return found.value;
    }
    return this.#provider.withSession(work, { ...options, idempotent: true, reads: true });
  }

  /** In turn, those that have not been silent since they were last heard of. */
  #nextStandby(): DatabaseHost | undefined {
    const standbys = this.#router.standbys().filter((host) => !this.#silent.has(host));
    return standbys[this.#turn++ % Math.max(1, standbys.length)];
  }

  async #readFrom<T>(
    standby: DatabaseHost,
    work: (session: LeasedSession) => Promise<T>,
    options: ReadOptions,
  ): Promise<{ readonly value: T } | undefined> {
    const session = await this.#freshSession(standby, options);
    if (!session) return undefined;
    try {
      return { value: await work(session) };
    } catch (error) {
      // A standby may be away, or cancel a read that is in the way of replay (40001): the primary can do it.
      if (!DatabaseError.is(error) || !error.retryable) throw error;
      // One that is slow says so itself; where the client's deadline passed first, it has fallen silent.
      if (error.code === "db_timeout" && error.sqlState !== undefined) throw error;
      if (error.code === "db_timeout") this.#noteSilence(standby);
      return undefined;
    } finally {
      this.#provider.release(session);
    }
  }

  /**
   * A session on the standby once it has shown that it is fresh enough, within the budget. One that does not say
   * anything in time is left alone until it has answered its monitor again; what it was asked goes on in the background.
   */
  async #freshSession(standby: DatabaseHost, options: ReadOptions): Promise<LeasedSession | undefined> {
    const { answerMs, waitForWriteMs } = this.#options.replicas;
    let given = false;
    const proving = this.#prove(standby, options).then((session) => {
      if (!given) return session;
      if (session) this.#provider.release(session);
      return undefined;
    });
    const silence = deadlinePassed("validation", answerMs);
    const late = () => {
      given = true;
      return silence;
    };
    try {
      return await within(this.#clock, proving, answerMs + waitForWriteMs, late, options.signal);
    } catch (error) {
      if (error === silence) this.#noteSilence(standby);
      if (DatabaseError.is(error) && error.class === "client") throw error;
      return undefined;
    } finally {
      given = true;
    }
  }

  async #prove(standby: DatabaseHost, options: ReadOptions): Promise<LeasedSession | undefined> {
    const session = await this.#provider.acquireOn(standby, options);
    let fresh = false;
    try {
      fresh = await this.#isFresh(session, options);
    } finally {
      if (!fresh) this.#provider.release(session);
    }
    return fresh ? session : undefined;
  }

  #noteSilence(standby: DatabaseHost): void {
    this.#silent.add(standby);
    standby.suspect();
  }

  async #isFresh(
    session: LeasedSession,
    { session: reader, maxLagMs, signal }: ReadOptions,
  ): Promise<boolean> {
    const needed = this.#neededPosition(reader, maxLagMs ?? this.#options.replicas.maxLagMs);
    const timeoutMs = this.#options.pool.validationTimeoutMs;
    const question = "select pg_last_wal_replay_lsn()::text as lsn";
    const deadline = this.#clock.monotonic() + this.#options.replicas.waitForWriteMs;
    for (;;) {
      const { rows } = await session.query<{ lsn: string | null }>(question, [], { timeoutMs });
      // A server that has been promoted meanwhile replays nothing and is the place for writes itself.
      const position = rows[0]?.lsn;
      if (!position) return false;
      if (lsnValue(position) >= needed) return true;
      if (this.#clock.monotonic() >= deadline) return false;
      await sleep(this.#clock, pollMs, signal);
    }
  }

  #neededPosition(reader: ReadSession | undefined, maxLagMs: number): bigint {
    const own = reader ? lsnValue(reader.token) : 0n;
    const since = this.#clock.monotonic() - maxLagMs;
    const old = this.#history.findLast(({ atMs }) => atMs <= since) ?? this.#history[0];
    const shared = old?.position ?? 0n;
    return own > shared ? own : shared;
  }
}
