import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import { LeasedSession } from "./database-session.ts";
import { DatabaseError } from "./errors.ts";
import type { HostRouter } from "./host-router.ts";
import type { DatabaseObserver } from "./observer.ts";
import type { ParsedOptions } from "./options.ts";
import { aborted, closedError, fenced, unavailable } from "./refusals.ts";
import { within } from "./within.ts";

/** How to get a session. */
export interface SessionRequest {
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for a connection; default acquireTimeoutMs. */
  readonly acquireTimeoutMs?: number | undefined;
}

/** What `withSession` may do when the connection fails. */
export interface SessionUse extends SessionRequest {
  /** The function may be run once more when its connection is lost: it only reads, or repeating it is harmless. */
  readonly idempotent?: boolean | undefined;
}

/** Admits hosts for writing; absent where there is no fencing. */
export interface HostAdmission {
  /** The host to use of these, or a refusal. */
  admit(candidates: readonly DatabaseHost[], deadlineMs: number): DatabaseHost | Promise<DatabaseHost>;
}

/** Hands out sessions on the right host and takes them back. */
export class SessionProvider {
  readonly #router: HostRouter;
  readonly #options: ParsedOptions;
  readonly #clock: Clock;
  readonly #observer: DatabaseObserver;
  readonly #admission: HostAdmission | undefined;
  readonly #since = new WeakMap<LeasedSession, { host: DatabaseHost; sinceMs: number }>();
  #closed = false;

  constructor(
    router: HostRouter,
    options: ParsedOptions,
    deps: { clock: Clock; observer: DatabaseObserver; admission: HostAdmission | undefined },
  ) {
    this.#router = router;
    this.#options = options;
    this.#clock = deps.clock;
    this.#observer = deps.observer;
    this.#admission = deps.admission;
  }

  /** A session on the host that fits, writable if the options ask for it. Release it with `release`. */
  async acquire(request: SessionRequest = {}): Promise<LeasedSession> {
    const start = this.#clock.monotonic();
    const deadline = start + (request.acquireTimeoutMs ?? this.#options.pool.acquireTimeoutMs);
    const host = await this.#chooseHost(deadline, request.signal);
    return this.acquireOn(host, {
      signal: request.signal,
      acquireTimeoutMs: deadline - this.#clock.monotonic(),
    });
  }

  /** A session on this very host. */
  async acquireOn(host: DatabaseHost, request: SessionRequest): Promise<LeasedSession> {
    const start = this.#clock.monotonic();
    const connection = await host.pool.acquire({
      signal: request.signal,
      timeoutMs: request.acquireTimeoutMs,
    });
    const now = this.#clock.monotonic();
    this.#observer.acquired?.({ host: host.name, waitMs: now - start });
    const session = new LeasedSession(connection, host.name, {
      signal: request.signal,
      namedStatements: this.#options.pooler === "none",
    });
    this.#since.set(session, { host, sinceMs: now });
    return session;
  }

  /**
   * Makes sure, before a COMMIT, that the session's server may still be written to.
   *
   * @throws DatabaseError `db_fenced` when it has been replaced meanwhile.
   */
  async confirm(session: LeasedSession): Promise<void> {
    if (!this.#admission) return;
    const deadline = this.#clock.monotonic() + this.#options.pool.acquireTimeoutMs;
    const host = await this.#admit(this.#admission, this.#router.candidates(), deadline);
    if (host.name !== session.host) throw fenced("it was replaced during the transaction");
  }

  release(session: LeasedSession): void {
    const use = this.#since.get(session);
    if (!use) return;
    this.#since.delete(session);
    session.revoke();
    use.host.pool.release(session.connection);
    this.#observer.released?.({ host: use.host.name, useMs: this.#clock.monotonic() - use.sinceMs });
  }

  /**
   * Runs `work` with a session. It is run once more, on another connection, when the server turned out to be
   * read-only or the connection dead before anything had succeeded on it, or was lost and `idempotent` is set.
   */
  async withSession<T>(work: (session: LeasedSession) => Promise<T>, use: SessionUse = {}): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const session = await this.acquire(use);
      try {
        return await work(session);
      } catch (error) {
        if (attempt > 1 || !(await this.mayRepeat(error, session, use))) throw error;
      } finally {
        this.release(session);
      }
    }
  }

  /** Whether another connection may do better, after asking a read-only host for its role again. */
  async mayRepeat(error: unknown, session: LeasedSession, use: SessionUse): Promise<boolean> {
    if (!DatabaseError.is(error) || use.signal?.aborted) return false;
    if (error.class === "read_only" && error.sqlState === "25006") {
      if (session.answered > 0) return false;
      session.connection.taint("the server is read-only");
      await this.findWritable();
      return true;
    }
    return use.idempotent === true && (error.class === "connection" || error.class === "server_going");
  }

  /** Asks all hosts for their roles after a write was refused: whoever took over may be known as a standby still. */
  async findWritable(): Promise<void> {
    await this.#router.recheck();
  }

  close(): void {
    this.#closed = true;
  }

  #chooseHost(deadline: number, signal: AbortSignal | undefined): DatabaseHost | Promise<DatabaseHost> {
    if (this.#closed) throw closedError();
    if (signal?.aborted) throw aborted(signal.reason);
    const candidates = this.#router.candidates();
    const first = candidates[0];
    if (!first) return this.#waitForHost(deadline, signal);
    return this.#admission ? this.#admit(this.#admission, candidates, deadline, signal) : first;
  }

  #admit(
    admission: HostAdmission,
    candidates: readonly DatabaseHost[],
    deadline: number,
    signal?: AbortSignal,
  ): DatabaseHost | Promise<DatabaseHost> {
    const host = admission.admit(candidates, deadline);
    if (!(host instanceof Promise)) return host;
    const leftMs = Math.max(0, deadline - this.#clock.monotonic());
    return within(
      this.#clock,
      host,
      leftMs,
      () => unavailable("the server for writes is not known yet"),
      signal,
    );
  }

  /** Only while hosts have not been asked at all: later, nobody there is an answer and not a reason to wait. */
  async #waitForHost(deadline: number, signal: AbortSignal | undefined): Promise<DatabaseHost> {
    if (!this.#router.undecided) throw this.#router.refusal();
    await this.#router.nextChange(Math.max(0, deadline - this.#clock.monotonic()), signal);
    return this.#chooseHost(deadline, signal);
  }
}
