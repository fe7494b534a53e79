import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import type { LeasedSession } from "./database-session.ts";
import { DatabaseError } from "./errors.ts";
import { type Lineage, notFollowing, positionFromTimeline, positionQuestion } from "./lineage.ts";
import { lsnValue, walPosition } from "./lsn.ts";
import type { ParsedOptions } from "./options.ts";
import type { PrimaryPositions } from "./primary-positions.ts";
import type { Statement } from "./query-result.ts";
import type { ReadSession } from "./read-session.ts";
import { deadlinePassed } from "./refusals.ts";
import type { SessionProvider } from "./session-provider.ts";
import { sleep } from "./sleep.ts";
import type { StandbyDoubts } from "./standby-doubts.ts";
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

/** What the proof needs. */
export interface StandbyProofDeps {
  readonly provider: SessionProvider;
  readonly options: ParsedOptions;
  readonly clock: Clock;
  readonly positions: PrimaryPositions;
  readonly doubts: StandbyDoubts;
}

/**
 * Has standbys show that they are fresh enough: in the history given, or, where no server for writes was ever seen, by the
 * position and the timeline of the session's own last write.
 */
export class StandbyProof {
  readonly #provider: SessionProvider;
  readonly #options: ParsedOptions;
  readonly #clock: Clock;
  readonly #positions: PrimaryPositions;
  readonly #doubts: StandbyDoubts;

  constructor({ provider, options, clock, positions, doubts }: StandbyProofDeps) {
    this.#provider = provider;
    this.#options = options;
    this.#clock = clock;
    this.#positions = positions;
    this.#doubts = doubts;
  }

  /**
   * A session on the standby once it has shown that it is fresh enough, within the budget. One that does not say
   * anything in time is left alone until it has answered its monitor again; what it was asked goes on in the background.
   */
  async freshSession(
    standby: DatabaseHost,
    lineage: Lineage | undefined,
    options: ReadOptions,
  ): Promise<LeasedSession | undefined> {
    const { answerMs, waitForWriteMs } = this.#options.replicas;
    let given = false;
    const proving = this.#prove(standby, lineage, options).then((session) => {
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
      if (error === silence) this.#doubts.noteSilence(standby);
      if (DatabaseError.is(error) && error.class === "client") throw error;
      return undefined;
    } finally {
      given = true;
    }
  }

  async #prove(
    standby: DatabaseHost,
    lineage: Lineage | undefined,
    options: ReadOptions,
  ): Promise<LeasedSession | undefined> {
    const session = await this.#provider.acquireOn(standby, options);
    let found: Freshness | undefined;
    try {
      found = await this.#freshnessOf(session, lineage, this.#patienceMs(standby), options);
    } finally {
      if (found !== "fresh") this.#provider.release(session);
    }
    if (found === "stranger") this.#doubts.noteStranger(standby, notFollowing);
    else if (lineage) this.#doubts.noteFollower(standby);
    return found === "fresh" ? session : undefined;
  }

  /** Where a standby was waited for in vain until it showed that it follows, another wait is not worth it. */
  #patienceMs(standby: DatabaseHost): number {
    return this.#doubts.isStranger(standby) ? 0 : this.#options.replicas.waitForWriteMs;
  }

  async #freshnessOf(
    session: LeasedSession,
    lineage: Lineage | undefined,
    patienceMs: number,
    { session: reader, maxLagMs, signal }: ReadOptions,
  ): Promise<Freshness> {
    const [clock, options] = [this.#clock, this.#options];
    const own = walPosition(reader?.token ?? "");
    const shared = lineage ? this.#positions.needed(maxLagMs ?? options.replicas.maxLagMs) : 0n;
    const needed = own.value > shared ? own.value : shared;
    const timeoutMs = options.pool.validationTimeoutMs;
    const question = lineage ? positionQuestion(lineage) : positionFromTimeline(own.timeline);
    const deadline = clock.monotonic() + patienceMs;
    for (;;) {
      const position = await askPosition(session, question, timeoutMs);
      if (!position) return "stranger";
      const { lsn, follows } = position;
      // A server that has been promoted meanwhile replays nothing and is the place for writes itself.
      if (lsn === null) return "behind";
      if (follows && lsnValue(lsn) >= needed) return "fresh";
      if (clock.monotonic() >= deadline) return follows || !lineage ? "behind" : "stranger";
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
