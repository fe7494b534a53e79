import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import { DatabaseError } from "./errors.ts";
import { readBranch, writeBranch } from "./fence-branch.ts";
import {
  createMemoryFenceStore,
  type Fence,
  type FenceStore,
  isHigher,
  isSame,
  isSameTimeline,
} from "./fence-store.ts";
import type { DatabaseEvent } from "./observer.ts";
import type { ParsedOptions } from "./options.ts";
import { fenced, unavailable } from "./refusals.ts";
import type { HostAdmission } from "./session-provider.ts";
import { within } from "./within.ts";

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

/** How long the store may take. */
const storeTimeoutMs = 1_000;

/** All callers that need one share the admission under way. */
type Admission = Promise<DatabaseHost>;

/**
 * Lets writes go only to the server with the highest history seen: by this process, and by all that share the
 * store. An admission is good for `leaseMs`; it is renewed by asking the store, and the server where its branch
 * is not known yet.
 */
export class FenceKeeper implements HostAdmission {
  readonly #deps: FenceKeeperDeps;
  readonly #store: FenceStore;
  readonly #shared: boolean;
  readonly #branches = new Map<string, { readonly sinceMs: number; readonly fence: Fence }>();
  #highest: Fence | undefined;
  #admitted: { readonly host: DatabaseHost; readonly fence: Fence; readonly untilMs: number } | undefined;
  #current: { readonly host: string; readonly fence: Fence; readonly synchronous: boolean } | undefined;
  #running: Admission | undefined;
  #discovered = false;
  #refused: DatabaseError | undefined;
  #failovers = 0;

  constructor(deps: FenceKeeperDeps) {
    this.#deps = deps;
    this.#shared = deps.store !== undefined;
    this.#store = deps.store ?? createMemoryFenceStore();
  }

  /** Changes of the server written to since the start. */
  get failovers(): number {
    return this.#failovers;
  }

  /** Whether the last admission was refused. */
  get refusing(): boolean {
    return this.#refused?.code === "db_fenced";
  }

  /** The fence in force, as far as this process knows. */
  get highest(): Fence | undefined {
    return this.#highest;
  }

  holds(host: DatabaseHost): boolean {
    const admitted = this.#admitted;
    if (admitted?.host !== host || this.#deps.clock.monotonic() >= admitted.untilMs) return false;
    const { fence } = admitted;
    return (
      host.info?.timeline === fence.timeline && this.#highest !== undefined && isSame(this.#highest, fence)
    );
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
   * An operator's decision: the server that can be reached is the right one. All that share the store follow, others
   * need the command too.
   *
   * @throws DatabaseError `db_unavailable` when the store does not answer
   */
  async reset(): Promise<void> {
    this.#follow(await this.#bounded(this.#store.overrule(this.#highest?.era ?? 0)));
    this.#admitted = undefined;
    this.#discovered = true;
    this.#refused = undefined;
    this.#deps.changed();
  }

  /** Takes what is in force, unless this process has seen a higher one. */
  #follow(inForce: Fence): void {
    const before = this.#highest;
    if (before && !isHigher(inForce, before) && !isSameTimeline(inForce, before)) return;
    if (before?.era !== inForce.era) this.#branches.clear();
    this.#highest = inForce;
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
      if (DatabaseError.is(error) && error.code === "db_fenced" && !this.#refused) {
        this.#refused = error;
        this.#deps.changed();
      }
      throw error;
    }
  }

  async #choose(deadlineMs: number): Admission {
    const unreachable = await this.#discover();
    const stored = await this.#readStore();
    if (stored) this.#follow(stored);
    if (!this.#highest && unreachable.length > 0) this.#allowUnknown(unreachable);
    let refusal: DatabaseError | undefined;
    for (const host of this.#writable()) {
      const fence = await this.#examine(host, deadlineMs).catch((error: unknown) => {
        refusal = DatabaseError.is(error) ? error : unavailable("fence", 1_000, error);
        return undefined;
      });
      if (fence) return this.#take(host, fence);
    }
    throw refusal ?? unavailable("no server that takes writes");
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

  async #readStore(): Promise<Fence | undefined> {
    try {
      const stored = await this.#bounded(this.#store.read());
      // A store that has forgotten is told again what was seen, also where no server of that history is there now.
      return stored || !this.#highest ? stored : await this.#bounded(this.#store.raise(this.#highest));
    } catch (error) {
      // Without the store what this process has seen still counts; a process that has seen nothing is careful.
      if (this.#highest) return undefined;
      this.#allowUnknown([], error);
      return undefined;
    }
  }

  /** A store that hangs is as good as one that fails. */
  #bounded<T>(call: Promise<T>): Promise<T> {
    return within(this.#deps.clock, call, storeTimeoutMs, () =>
      unavailable("the fence store does not answer"),
    );
  }

  #allowUnknown(unreachable: readonly DatabaseHost[], cause?: unknown): void {
    const rule = this.#deps.options.fencing.onUnknown ?? (this.#shared ? "refuse" : "allow");
    if (rule === "allow") return;
    const reason =
      cause === undefined
        ? `${unreachable.length} servers have not been seen`
        : "the fence store does not answer";
    throw fenced(reason);
  }

  #writable(): DatabaseHost[] {
    return this.#deps
      .hosts()
      .filter(({ info }) => info && !info.standby && !info.readOnly)
      .sort((a, b) => (b.info?.timeline ?? 0) - (a.info?.timeline ?? 0));
  }

  /** The host's fence if it may be written to. */
  async #examine(host: DatabaseHost, deadlineMs: number): Promise<Fence> {
    const { info, state } = host;
    if (!info || state.kind !== "up") throw unavailable("connection");
    const systemIdentifier = info.systemIdentifier ?? "unknown";
    const seen = this.#highest?.timeline ? this.#highest : undefined;
    if (seen && seen.systemIdentifier !== systemIdentifier) throw this.#refuse(host, "it is another cluster");
    if (seen && info.timeline < seen.timeline) throw this.#refuse(host, "it has been replaced");

    const known = this.#branches.get(host.name);
    const fence =
      known && known.sinceMs === state.sinceMs && known.fence.timeline === info.timeline
        ? known.fence
        : await this.#branchOf(
            host,
            { era: this.#highest?.era ?? 0, systemIdentifier, timeline: info.timeline },
            deadlineMs,
          );
    this.#follow(await this.#bounded(this.#store.raise(fence)).catch(() => this.#highest ?? fence));
    if (!this.#highest || !isSame(this.#highest, fence))
      throw this.#refuse(host, "another server of this timeline is in use");
    this.#branches.set(host.name, { sinceMs: state.sinceMs, fence });
    return fence;
  }

  async #branchOf(host: DatabaseHost, place: Omit<Fence, "branch">, deadlineMs: number): Promise<Fence> {
    const timeoutMs = Math.max(0, deadlineMs - this.#deps.clock.monotonic());
    const connection = await host.pool.acquire({ timeoutMs });
    try {
      const found = await readBranch(connection, place.timeline);
      if (found !== undefined) return { ...place, branch: found };
      // Somebody has begun to write on this timeline elsewhere: this server does not belong to that history.
      if (this.#highest?.timeline === place.timeline)
        throw this.#refuse(host, "another server of this timeline is in use");
      return { ...place, branch: await writeBranch(connection, place.timeline) };
    } finally {
      host.pool.release(connection);
    }
  }

  #take(host: DatabaseHost, fence: Fence): DatabaseHost {
    const { clock, options, event } = this.#deps;
    this.#admitted = { host, fence, untilMs: clock.monotonic() + options.fencing.leaseMs };
    const before = this.#current;
    const synchronous = host.info?.synchronous ?? false;
    this.#current = { host: host.name, fence, synchronous };
    if (before && before.host !== host.name) {
      this.#failovers++;
      event({ type: "db_failover", from: before.host, to: host.name, timeline: fence.timeline });
      // The old primary acknowledged commits that no standby had to confirm.
      if (!before.synchronous)
        event({ type: "db_tail_may_be_lost", to: host.name, timeline: fence.timeline });
    }
    return host;
  }

  #refuse(host: DatabaseHost, reason: string): DatabaseError {
    this.#deps.event({ type: "db_fenced", host: host.name, timeline: host.info?.timeline ?? 0, reason });
    return fenced(reason);
  }
}
