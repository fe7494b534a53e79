import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import type { LeasedSession } from "./database-session.ts";
import { DatabaseError } from "./errors.ts";
import type { HostRouter } from "./host-router.ts";
import { type Lineage, notFollowing, positionQuestion, strangeness } from "./lineage.ts";
import { lsnValue, walPosition } from "./lsn.ts";
import type { DatabaseEvent } from "./observer.ts";
import type { ParsedOptions } from "./options.ts";
import { PrimaryPositions } from "./primary-positions.ts";
import type { Statement } from "./query-result.ts";
import { primaryOnly, type ReadSession } from "./read-session.ts";
import { deadlinePassed } from "./refusals.ts";
import type { SessionProvider } from "./session-provider.ts";
import { sleep } from "./sleep.ts";
import { StandbyDoubts } from "./standby-doubts.ts";
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

const pollMs = 5;

/** What the reader needs. */
export interface ReplicaReaderDeps {
  readonly router: HostRouter;
  readonly provider: SessionProvider;
  readonly options: ParsedOptions;
  readonly clock: Clock;
  /** The history that standbys have to follow; undefined while it is not known. */
  lineage(): Lineage | undefined;
  event(event: DatabaseEvent): void;
}

/**
 * Sends reads to standbys that follow the server for writes and are fresh enough, else to that server. Which history a
 * standby is of is asked together with how far it has replayed, because positions say nothing across histories: one that
 * was forked off before a promotion may be further on the old timeline than the new one has got.
 */
export class ReplicaReader {
  readonly #deps: ReplicaReaderDeps;
  readonly #positions: PrimaryPositions;
  readonly #doubts: StandbyDoubts;
  #turn = 0;

  constructor(deps: ReplicaReaderDeps) {
    this.#deps = deps;
    this.#positions = new PrimaryPositions(deps.clock);
    this.#doubts = new StandbyDoubts((event) => deps.event(event));
  }

  /** To be called after each check of a host. */
  noteCheck(host: DatabaseHost): void {
    this.#doubts.noteCheck(host);
    const lineage = this.#deps.lineage();
    if (lineage) this.#positions.note(host, lineage);
  }

  /** Whether the standby did not follow the server for writes when it was last wanted. */
  isStranger(standby: DatabaseHost): boolean {
    return this.#doubts.isStranger(standby);
  }

  /** Runs `work`, which only reads, on a standby or, where none is fresh enough or it fails, on the primary. */
  async read<T>(work: (session: LeasedSession) => Promise<T>, options: ReadOptions): Promise<T> {
    const lineage = this.#lineageFor(options.session);
    const standby = lineage && this.#nextStandby(lineage);
    if (standby) {
      const found = await this.#readFrom(standby, lineage, work, options);
      if (found) return found.value;
    }
    const on = this.#serverForWrites();
    return this.#deps.provider.withSession(work, { ...options, idempotent: true, reads: true, on });
  }

  /** Where the options would choose a standby as well, though they allow this one. */
  #serverForWrites(): DatabaseHost | undefined {
    const { options, router } = this.#deps;
    const either = options.targetSessionAttrs === "any" || options.targetSessionAttrs === "prefer-standby";
    return either && router.hosts.length > 1 ? router.primary() : undefined;
  }

  /** The history to read, unless the session's last write is of a later one, or of none that is known. */
  #lineageFor(session: ReadSession | undefined): Lineage | undefined {
    if (session?.token === primaryOnly || this.#deps.router.hosts.length < 2) return undefined;
    const lineage = this.#deps.lineage();
    if (!lineage || (session && walPosition(session.token).timeline > lineage.timeline)) return undefined;
    const primary = this.#deps.router.hosts.find(({ name }) => name === lineage.host);
    if (primary && !this.#positions.has(lineage)) this.#positions.note(primary, lineage);
    return this.#positions.has(lineage) ? lineage : undefined;
  }

  /** In turn, those that are in no doubt. */
  #nextStandby(lineage: Lineage): DatabaseHost | undefined {
    const standbys = this.#deps.router.standbys().filter((standby) => {
      const reason = standby.info && strangeness(standby.info, lineage);
      if (reason !== undefined) this.#doubts.noteStranger(standby, reason);
      return !this.#doubts.has(standby);
    });
    return standbys[this.#turn++ % Math.max(1, standbys.length)];
  }

  async #readFrom<T>(
    standby: DatabaseHost,
    lineage: Lineage,
    work: (session: LeasedSession) => Promise<T>,
    options: ReadOptions,
  ): Promise<{ readonly value: T } | undefined> {
    const session = await this.#freshSession(standby, lineage, options);
    if (!session) return undefined;
    try {
      return { value: await work(session) };
    } catch (error) {
      // A standby may be away, or cancel a read that is in the way of replay (40001): the primary can do it.
      if (!DatabaseError.is(error) || !error.retryable) throw error;
      // One that is slow says so itself; where the client's deadline passed first, it has fallen silent.
      if (error.code === "db_timeout" && error.sqlState !== undefined) throw error;
      if (error.code === "db_timeout") this.#doubts.noteSilence(standby);
      return undefined;
    } finally {
      this.#deps.provider.release(session);
    }
  }

  /**
   * A session on the standby once it has shown that it is fresh enough, within the budget. One that does not say
   * anything in time is left alone until it has answered its monitor again; what it was asked goes on in the background.
   */
  async #freshSession(
    standby: DatabaseHost,
    lineage: Lineage,
    options: ReadOptions,
  ): Promise<LeasedSession | undefined> {
    const { answerMs, waitForWriteMs } = this.#deps.options.replicas;
    let given = false;
    const proving = this.#prove(standby, lineage, options).then((session) => {
      if (!given) return session;
      if (session) this.#deps.provider.release(session);
      return undefined;
    });
    const silence = deadlinePassed("validation", answerMs);
    const late = () => {
      given = true;
      return silence;
    };
    try {
      return await within(this.#deps.clock, proving, answerMs + waitForWriteMs, late, options.signal);
    } catch (error) {
      if (error === silence) this.#doubts.noteSilence(standby);
      if (DatabaseError.is(error) && error.class === "client") throw error;
      return undefined;
    } finally {
      given = true;
    }
  }

  async #prove(
    standby: DatabaseHost,
    lineage: Lineage,
    options: ReadOptions,
  ): Promise<LeasedSession | undefined> {
    const session = await this.#deps.provider.acquireOn(standby, options);
    let found: Freshness | undefined;
    try {
      found = await this.#freshnessOf(session, lineage, this.#patienceMs(standby), options);
    } finally {
      if (found !== "fresh") this.#deps.provider.release(session);
    }
    if (found === "stranger") this.#doubts.noteStranger(standby, notFollowing);
    else this.#doubts.noteFollower(standby);
    return found === "fresh" ? session : undefined;
  }

  /** Where a standby was waited for in vain until it showed that it follows, another wait is not worth it. */
  #patienceMs(standby: DatabaseHost): number {
    return this.#doubts.isStranger(standby) ? 0 : this.#deps.options.replicas.waitForWriteMs;
  }

  async #freshnessOf(
    session: LeasedSession,
    lineage: Lineage,
    patienceMs: number,
    { session: reader, maxLagMs, signal }: ReadOptions,
  ): Promise<Freshness> {
    const { clock, options } = this.#deps;
    const own = reader ? walPosition(reader.token).value : 0n;
    const shared = this.#positions.needed(maxLagMs ?? options.replicas.maxLagMs);
    const needed = own > shared ? own : shared;
    const timeoutMs = options.pool.validationTimeoutMs;
    const question = positionQuestion(lineage);
    const deadline = clock.monotonic() + patienceMs;
    for (;;) {
      const position = await askPosition(session, question, timeoutMs);
      if (!position) return "stranger";
      const { lsn, follows } = position;
      // A server that has been promoted meanwhile replays nothing and is the place for writes itself.
      if (lsn === null) return "behind";
      if (follows && lsnValue(lsn) >= needed) return "fresh";
      if (clock.monotonic() >= deadline) return follows ? "behind" : "stranger";
      await sleep(clock, pollMs, signal);
    }
  }
}

type Freshness = "fresh" | "behind" | "stranger";

interface Position {
  readonly lsn: string | null;
  readonly follows: boolean;
}

async function askPosition(
  session: LeasedSession,
  question: Statement,
  timeoutMs: number,
): Promise<Position | undefined> {
  try {
    const { rows } = await session.query<Position>(question, undefined, { timeoutMs });
    return rows[0];
  } catch (error) {
    // The table with the branch is not there: nothing has been replayed that was written after it was made.
    if (DatabaseError.is(error) && error.sqlState === "42P01") return undefined;
    throw error;
  }
}
