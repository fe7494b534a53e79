import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import type { LeasedSession } from "./database-session.ts";
import { checkedMs } from "./duration.ts";
import { DatabaseError } from "./errors.ts";
import type { HostRouter } from "./host-router.ts";
import { type Lineage, strangeness } from "./lineage.ts";
import { walPosition } from "./lsn.ts";
import type { DatabaseEvent } from "./observer.ts";
import type { ParsedOptions } from "./options.ts";
import { PrimaryPositions } from "./primary-positions.ts";
import { primaryOnly, type ReadSession } from "./read-session.ts";
import { fenced, replaced, unavailable } from "./refusals.ts";
import type { SessionProvider } from "./session-provider.ts";
import { StandbyDoubts } from "./standby-doubts.ts";
import { type ReadOptions, StandbyProof } from "./standby-proof.ts";
import { within } from "./within.ts";

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
  readonly #proof: StandbyProof;
  #turn = 0;

  constructor(deps: ReplicaReaderDeps) {
    this.#deps = deps;
    this.#positions = new PrimaryPositions(deps.clock);
    this.#doubts = new StandbyDoubts((event) => deps.event(event));
    this.#proof = new StandbyProof({ ...deps, positions: this.#positions, doubts: this.#doubts });
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

  /**
   * Runs `work`, which only reads, on a standby or, where none is fresh enough or it fails, on the primary. Where the options
   * allow none but standbys, or no primary is up, a session that none of them is fresh enough for is refused.
   */
  async read<T>(work: (session: LeasedSession) => Promise<T>, options: ReadOptions): Promise<T> {
    const { clock, router } = this.#deps;
    const token = options.session?.token ?? "";
    const { acquireTimeoutMs = this.#deps.options.pool.acquireTimeoutMs, maxLagMs = 0 } = options;
    checkedMs("maxLagMs", maxLagMs);
    const deadline = clock.monotonic() + checkedMs("acquireTimeoutMs", acquireTimeoutMs);
    const leftMs = () => Math.max(0, deadline - clock.monotonic());
    await this.#learnTimeline(token, leftMs(), options.signal);
    for (;;) {
      const elsewhere = this.#elsewhere();
      const lineage = this.#lineageFor(options.session);
      const standbys = this.#standbysToAsk(token, lineage, elsewhere);
      for (const standby of standbys) {
        const found = !this.#doubts.has(standby) && (await this.#readFrom(standby, lineage, work, options));
        if (found) return found.value;
      }
      const on = elsewhere === "nobody" ? this.#lastResort(token, standbys) : elsewhere;
      if (on || elsewhere !== "nobody") {
        const following = (session: LeasedSession) => {
          this.#refuseReplaced(session, token);
          return work(session);
        };
        return this.#deps.provider.withSession(following, { ...options, idempotent: true, reads: true, on });
      }
      if (!router.undecided) throw unavailable("no standby is known to be fresh enough");
      await router.nextChange(leftMs(), options.signal);
    }
  }

  /** The servers are asked for their roles where the session has written on a later timeline than the one known. */
  async #learnTimeline(token: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock, router } = this.#deps;
    const primary = router.primary();
    if (!primary?.info || primary.info.timeline >= walPosition(token).timeline) return;
    const late = () => unavailable("the server for writes is not known yet");
    await within(clock, router.recheck(), timeoutMs, late, signal);
  }

  /** A server of an older timeline than the session has written on lacks what it wrote. */
  #refuseReplaced({ host }: LeasedSession, token: string): void {
    const timeline = this.#deps.router.hosts.find(({ name }) => name === host)?.info?.timeline ?? 0;
    if (timeline < walPosition(token).timeline) throw fenced(replaced);
  }

  /** Whom to read from where no standby will do: this one, whom the options choose (undefined), or nobody. */
  #elsewhere(): DatabaseHost | "nobody" | undefined {
    const { options, router } = this.#deps;
    const { targetSessionAttrs } = options;
    if (targetSessionAttrs === "read-write" || targetSessionAttrs === "primary") return undefined;
    const either = targetSessionAttrs === "any" || targetSessionAttrs === "prefer-standby";
    const candidates = router.candidates();
    const primary = router.primary();
    // The options would choose a standby as well, though they allow this one.
    if (primary && (either || candidates.includes(primary)))
      return router.hosts.length > 1 ? primary : undefined;
    const awaited = router.undecided && !this.#deps.provider.isClosed;
    return candidates.length > 0 || awaited ? "nobody" : undefined;
  }

  /** One, or, where there is nobody else, each of them and the first once more. */
  #standbysToAsk(
    token: string,
    lineage: Lineage | undefined,
    elsewhere: DatabaseHost | "nobody" | undefined,
  ): readonly DatabaseHost[] {
    const alone = elsewhere === "nobody";
    if (token === primaryOnly || (!lineage && !alone)) return [];
    if (!lineage && token === "" && this.#deps.router.hosts.length < 2) return [];
    const standbys = this.#standbysInTurn(lineage);
    return alone ? [...standbys, ...standbys.slice(0, 1)] : standbys.slice(0, 1);
  }

  /** For those who have written nothing: one that lags behind, or was silent, but is of no other history. */
  #lastResort(token: string, standbys: readonly DatabaseHost[]): DatabaseHost | undefined {
    if (token !== "") return undefined;
    return (
      standbys.find((standby) => !this.#doubts.has(standby)) ??
      this.#deps.router.standbys().find((standby) => !this.#doubts.isStranger(standby))
    );
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

  /** Those that are in no doubt, each time beginning with the next. */
  #standbysInTurn(lineage: Lineage | undefined): readonly DatabaseHost[] {
    const standbys = this.#deps.router.standbys().filter((standby) => {
      const reason = lineage && standby.info && strangeness(standby.info, lineage);
      if (reason !== undefined) this.#doubts.noteStranger(standby, reason);
      return !this.#doubts.has(standby);
    });
    const first = this.#turn++ % Math.max(1, standbys.length);
    return [...standbys.slice(first), ...standbys.slice(0, first)];
  }

  async #readFrom<T>(
    standby: DatabaseHost,
    lineage: Lineage | undefined,
    work: (session: LeasedSession) => Promise<T>,
    options: ReadOptions,
  ): Promise<{ readonly value: T } | undefined> {
    const session = await this.#proof.freshSession(standby, lineage, options);
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
}
