import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import { DatabaseError } from "./errors.ts";
import { FenceExaminer } from "./fence-examiner.ts";
import { FenceKnowledge } from "./fence-knowledge.ts";
import { type Fence, type FenceStore, isSame } from "./fence-store.ts";
import type { Lineage } from "./lineage.ts";
import type { DatabaseEvent } from "./observer.ts";
import type { ParsedOptions } from "./options.ts";
import { fenced, fenceUnknown, replaced, unavailable } from "./refusals.ts";
import type { HostAdmission } from "./session-provider.ts";
import { historyOf, takesWrites, type WritableHost } from "./writable-host.ts";

/** What the keeper needs. */
export interface FenceKeeperDeps {
  readonly clock: Clock;
  readonly options: ParsedOptions;
  readonly hosts: () => readonly DatabaseHost[];
  readonly store: FenceStore | undefined;
  event(event: DatabaseEvent): void;
  /** The result of the last admission has changed. */
  changed(): void;
}

/** What was admitted last. */
interface Current {
  readonly host: string;
  readonly fence: Fence;
  readonly lineage: Lineage;
  readonly synchronous: boolean;
}

/** All callers that need one share the admission under way. */
type Admission = Promise<DatabaseHost>;

/**
 * Lets writes go only to the server with the highest history seen: by this process, and by all that share the
 * store. An admission is good for `leaseMs`; it is renewed by asking the store, and the server where its branch
 * is not known yet.
 */
export class FenceKeeper implements HostAdmission {
  readonly #deps: FenceKeeperDeps;
  readonly #known: FenceKnowledge;
  readonly #examiner: FenceExaminer;
  #admitted: { readonly host: DatabaseHost; readonly fence: Fence; readonly untilMs: number } | undefined;
  #current: Current | undefined;
  #running: Admission | undefined;
  #discovered = false;
  /** The last decision admitted nobody, or what it admitted was overtaken. */
  #unsettled = false;
  #refused: DatabaseError | undefined;
  #failovers = 0;

  constructor(deps: FenceKeeperDeps) {
    this.#deps = deps;
    this.#known = new FenceKnowledge(deps.store, deps.clock);
    this.#examiner = new FenceExaminer({
      clock: deps.clock,
      known: this.#known,
      refuse: (host, reason) => this.#refuse(host, reason),
    });
  }

  /** Changes of the server written to since the start. */
  get failovers(): number {
    return this.#failovers;
  }

  /** Whether the last admission was refused. */
  get refusing(): boolean {
    return this.#refused?.code === "db_fenced";
  }

  /** The history that was admitted last, also while its server is away; undefined once another is in force. */
  get lineage(): Lineage | undefined {
    const { highest } = this.#known;
    const current = this.#current;
    if (!current || !highest || !isSame(highest, current.fence)) return undefined;
    return this.#known.isOvertaken(highest) ? undefined : current.lineage;
  }

  holds(host: DatabaseHost): boolean {
    const admitted = this.#admitted;
    if (admitted?.host !== host || this.#deps.clock.monotonic() >= admitted.untilMs) return false;
    const { fence } = admitted;
    const { highest } = this.#known;
    return host.info?.timeline === fence.timeline && highest !== undefined && isSame(highest, fence);
  }

  admit(candidates: readonly DatabaseHost[], deadlineMs: number): DatabaseHost | Admission {
    const host = this.#admitted?.host;
    if (host && candidates.includes(host) && this.holds(host)) return host;
    this.#running ??= this.#decide(deadlineMs).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /**
   * To be called after each check of a host. The sight of a later timeline ends the admission, and is followed without
   * waiting for a caller; so are the end of a lease while callers wait for a connection, who ask nothing meanwhile, and
   * whatever may end a refusal.
   */
  noteCheck(checked: DatabaseHost): void {
    if (takesWrites(checked)) this.#known.see(historyOf(checked.info));
    const admitted = this.#admitted;
    if (admitted && this.#known.isOvertaken(admitted.fence)) {
      this.#admitted = undefined;
      this.#unsettled = true;
    } else if (admitted && (this.holds(admitted.host) || !this.#isWanted(admitted.host))) return;
    if (!admitted && !this.#unsettled) return;
    if (this.#writable().length === 0) return;
    const { clock, options } = this.#deps;
    Promise.resolve(this.admit([], clock.monotonic() + options.pool.acquireTimeoutMs)).catch(() => {});
  }

  /** Whether an admission that has run out is to be asked for anew, without a caller who does. */
  #isWanted(host: DatabaseHost): boolean {
    return this.#unsettled || host.pool.stats().waiting > 0;
  }

  /**
   * An operator's decision: the server that can be reached is the right one. All that share the store follow, others
   * need the command too. While the store is away the decision holds for this process; the store is told later.
   */
  async reset(): Promise<void> {
    await this.#known.overrule();
    this.#admitted = undefined;
    this.#discovered = true;
    this.#unsettled = false;
    this.#refused = undefined;
    this.#deps.changed();
  }

  async #decide(deadlineMs: number): Admission {
    try {
      const host = await this.#choose(deadlineMs);
      if (this.#refused) {
        this.#refused = undefined;
        this.#deps.changed();
      }
      return host;
    } catch (error) {
      this.#unsettled = true;
      if (DatabaseError.is(error) && error.code === "db_fenced" && !this.#refused) {
        this.#refused = error;
        this.#deps.changed();
      }
      throw error;
    }
  }

  async #choose(deadlineMs: number): Admission {
    const unreachable = await this.#discover();
    await this.#known.refresh();
    if (!this.#known.highest) this.#allowUnknown(unreachable);
    let failure: DatabaseError | undefined;
    let failedTimeline = 0;
    const writable = this.#writable().map((host) => ({ host, timeline: host.info.timeline }));
    for (const { host, timeline } of writable) {
      try {
        // A server that could not be examined may be the right one, and none of a lower timeline can be.
        if (timeline < failedTimeline) throw this.#refuse(host, replaced);
        const { fence, askedMs } = await this.#examiner.examine(host, deadlineMs);
        if (this.#known.isOvertaken(fence)) throw this.#refuse(host, replaced);
        return this.#take(host, fence, askedMs);
      } catch (error) {
        const known = DatabaseError.is(error) ? error : unavailable("fence", 1_000, error);
        // What keeps the right server from being used says more than why another one is not.
        if (!failure || failure.code === "db_fenced") failure = known;
        if (known.code !== "db_fenced") failedTimeline = Math.max(failedTimeline, timeline);
      }
    }
    throw failure ?? unavailable("no server that takes writes");
  }

  /** Before the first write every host is asked; returns those that did not answer. */
  async #discover(): Promise<readonly DatabaseHost[]> {
    const hosts = this.#deps.hosts();
    if (!this.#discovered) {
      const { clock, options } = this.#deps;
      const undecided = hosts.filter((host) => host.state.kind === "starting");
      await Promise.race([
        Promise.all(undecided.map((host) => host.recheck())),
        new Promise<void>((resolve) => clock.setTimeout(resolve, options.fencing.discoveryMs).unref?.()),
      ]);
      this.#discovered = true;
    }
    return hosts.filter((host) => host.state.kind !== "up");
  }

  /**
   * To a process that has seen no fence and is told of none, a server that was not asked may be the right one; so may
   * each of two on one timeline, of which only the store can say which was written to first.
   */
  #allowUnknown(unreachable: readonly DatabaseHost[]): void {
    const { storeAway, shared } = this.#known;
    const rule = this.#deps.options.fencing.onUnknown ?? (shared ? "refuse" : "allow");
    if (rule === "allow") return;
    if (unreachable.length > 0) throw fenceUnknown(`${unreachable.length} servers have not been seen`);
    const [first, second] = this.#writable();
    if (storeAway && first && first.info?.timeline === second?.info?.timeline)
      throw fenceUnknown("two servers are of one timeline, and the fence store does not answer");
  }

  #writable(): WritableHost[] {
    return this.#deps
      .hosts()
      .filter(takesWrites)
      .sort((a, b) => b.info.timeline - a.info.timeline);
  }

  /** The lease counts from when the store was asked, however long its answer took. */
  #take(host: DatabaseHost, fence: Fence, askedMs: number): DatabaseHost {
    const { options, event } = this.#deps;
    this.#admitted = { host, fence, untilMs: askedMs + options.fencing.leaseMs };
    this.#unsettled = false;
    const before = this.#current;
    const synchronous = host.info?.synchronous ?? false;
    this.#current = { host: host.name, fence, lineage: { ...fence, host: host.name }, synchronous };
    if (before && before.host !== host.name) {
      this.#failovers++;
      const old = this.#deps.hosts().find(({ name }) => name === before.host);
      old?.pool.failWaiters(() => fenced("it was replaced while its connection was waited for"));
      event({ type: "db_failover", from: before.host, to: host.name, timeline: fence.timeline });
      // The old primary acknowledged commits that no standby had to confirm.
      if (!before.synchronous)
        event({ type: "db_tail_may_be_lost", to: host.name, timeline: fence.timeline });
    }
    return host;
  }

  /** Who waits for a connection to a server that may not be written to need not wait for that. */
  #refuse(host: DatabaseHost, reason: string): DatabaseError {
    this.#deps.event({ type: "db_fenced", host: host.name, timeline: host.info?.timeline ?? 0, reason });
    host.pool.failWaiters(() => fenced(reason));
    return fenced(reason);
  }
}
