import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import { LeasedSession, type SessionStatementOptions } from "./database-session.ts";
import { checkedMs } from "./duration.ts";
import { DatabaseError, type DatabaseErrorClass } from "./errors.ts";
import type { HostRouter } from "./host-router.ts";
import type { DatabaseObserver } from "./observer.ts";
import type { ParsedOptions } from "./options.ts";
import { aborted, closedError, fenced, isFenceUnknown, unavailable } from "./refusals.ts";
import { boundsTransaction, commitsByItself } from "./statement-kind.ts";
import type { StatementGuard } from "./statement-run.ts";
import { hearWarnings } from "./wire.ts";
import { within } from "./within.ts";

/** How to get a session. */
export interface SessionRequest {
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for a connection; default acquireTimeoutMs. */
  readonly acquireTimeoutMs?: number | undefined;
  /** The caller only reads: a server will do of which nobody knows yet whether it may be written to. */
  readonly reads?: boolean | undefined;
}

/** What `withSession` may do when the connection fails. */
export interface SessionUse extends SessionRequest {
  /** The function may be run once more when its connection is lost: it only reads, or repeating it is harmless. */
  readonly idempotent?: boolean | undefined;
  /** This very server, for reading, whatever the options ask for. */
  readonly on?: DatabaseHost | undefined;
}

/** Admits hosts for writing; absent where there is no fencing. */
export interface HostAdmission {
  /** Whether the host's last admission still holds. */
  holds(host: DatabaseHost): boolean;
  /** The host to use of these, or a refusal. */
  admit(candidates: readonly DatabaseHost[], deadlineMs: number): DatabaseHost | Promise<DatabaseHost>;
}

/** Classes of errors after which a repetition on another connection may do better. */
const lossClasses: ReadonlySet<DatabaseErrorClass> = new Set([
  "connection",
  "server_going",
  "unknown_outcome",
]);

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
    const deadline = start + this.#patienceMs(request);
    let host: DatabaseHost;
    let refusal: DatabaseError | undefined;
    try {
      host = await this.#chooseHost(deadline, request.signal);
    } catch (error) {
      const [first] = this.#router.candidates();
      // Behind a pooler there is no session that could be made read-only.
      if (!first || !request.reads || !isFenceUnknown(error) || this.#options.pooler !== "none") throw error;
      host = first;
      refusal = error;
    }
    const left = { signal: request.signal, acquireTimeoutMs: deadline - this.#clock.monotonic() };
    const session = await this.#lend(host, left, refusal ? refusingWrites(refusal) : this.#leaseOf(host));
    const writes = refusal === undefined;
    if (session.connection.takesWrites !== writes) {
      await session.connection.allowWrites(writes).catch((error: unknown) => {
        this.release(session);
        throw error;
      });
    }
    return session;
  }

  /** A session for reading on this very host, whatever its history. */
  async acquireOn(host: DatabaseHost, request: SessionRequest): Promise<LeasedSession> {
    const acquireTimeoutMs = this.#patienceMs(request);
    return this.#lend(host, { signal: request.signal, acquireTimeoutMs }, undefined);
  }

  #patienceMs({ acquireTimeoutMs = this.#options.pool.acquireTimeoutMs }: SessionRequest): number {
    return checkedMs("acquireTimeoutMs", acquireTimeoutMs);
  }

  async #lend(
    host: DatabaseHost,
    request: SessionRequest,
    guard: StatementGuard | undefined,
  ): Promise<LeasedSession> {
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
      guard,
    });
    this.#since.set(session, { host, sinceMs: now });
    return session;
  }

  /** Renews the server's admission where it is over. */
  #leaseOf(host: DatabaseHost): StatementGuard | undefined {
    const admission = this.#admission;
    return admission && (() => (admission.holds(host) ? undefined : this.#renew(admission, host)));
  }

  /** Begins a transaction; behind a pooler the timeouts, which belong to sessions, come with it. */
  async begin(
    session: LeasedSession,
    statement: string,
    options: SessionStatementOptions = {},
  ): Promise<void> {
    await session.query(statement, [], options);
    if (this.#options.pooler === "transaction")
      await session.query(localTimeouts(this.#options), undefined, options);
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
   * Runs `work` with a session. It is run once more, on another connection, when the server turned out to be read-only
   * before anything had succeeded on it, or the connection was lost and `idempotent` is set.
   */
  async withSession<T>(work: (session: LeasedSession) => Promise<T>, use: SessionUse = {}): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const session = await (use.on ? this.acquireOn(use.on, use) : this.acquire(use));
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
    return use.idempotent === true && lossClasses.has(error.class);
  }

  /** Asks all hosts for their roles after a write was refused: whoever took over may be known as a standby still. */
  async findWritable(): Promise<void> {
    await this.#router.recheck();
  }

  /** Whether nothing is lent any more. */
  get isClosed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
  }

  /** What a session does before a statement when the server's admission is over. */
  async #renew(admission: HostAdmission, host: DatabaseHost): Promise<void> {
    const deadline = this.#clock.monotonic() + this.#options.pool.acquireTimeoutMs;
    const admitted = await this.#admit(admission, this.#router.candidates(), deadline);
    if (admitted !== host) throw fenced("it was replaced while its connection was in use");
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

/** Lets statements pass that change nothing; what looks like reading and is not, the server refuses. */
function refusingWrites(refusal: DatabaseError): StatementGuard {
  return (text) => (commitsByItself(text) && !boundsTransaction(text) ? Promise.reject(refusal) : undefined);
}

function localTimeouts({ timeouts }: ParsedOptions): string {
  const { statementMs, lockMs, idleInTransactionMs } = timeouts;
  return [
    `set local statement_timeout = ${Math.round(statementMs)}`,
    `set local lock_timeout = ${Math.round(lockMs)}`,
    `set local idle_in_transaction_session_timeout = ${Math.round(idleInTransactionMs)}`,
    hearWarnings,
  ].join("; ");
}
