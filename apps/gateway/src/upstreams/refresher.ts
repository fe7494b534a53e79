import type { UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import { failureOf, reasonOf } from "../calls/call-failure.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import type { Snapshot, SnapshotHolder } from "../registry/snapshot.ts";
import { discover, type Listing, type ListingRules } from "./discover.ts";
import { isReachedAlike } from "./live-upstreams.ts";
import { sameCatalogue } from "./same-catalogue.ts";
import { wasNotAsked } from "./was-not-asked.ts";

/** What the refresher works with. Times in milliseconds. */
export interface RefresherOptions {
  readonly registry: Registry;
  readonly snapshots: SnapshotHolder;
  /** Runs `use` with a session of the gateway's own. */
  readonly withSession: <T>(
    record: UpstreamRecord,
    use: (session: UpstreamSession) => Promise<T>,
  ) => Promise<T>;
  readonly listing: ListingRules;
  /** Longest wait of {@link Refresher.ready} for an upstream, counted from when it was first seen. */
  readonly readyTimeoutMs: number;
  /** Told of what was listed outside the poll schedule; `failure` says why it could not be. */
  readonly onListed: (record: UpstreamRecord, outcome: ListingOutcome) => void;
  /** Monotonic milliseconds; `performance.now` by default. */
  readonly now?: () => number;
}

/** How a listing ended. */
export interface ListingOutcome {
  readonly ttlMs?: number | undefined;
  readonly failure?: string | undefined;
}

/** Lists upstreams and keeps what was found. When that happens, the poll schedule or a user decides. */
export class Refresher {
  readonly #options: RefresherOptions;
  readonly #now: () => number;
  readonly #firstSeenAt = new Map<string, number>();
  readonly #running = new Map<string, { readonly record: UpstreamRecord; readonly work: Promise<void> }>();

  constructor(options: RefresherOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Lists an upstream and stores the catalogue if it is another one, or if the upstream was not known to be reachable.
   *
   * @throws what the upstream or the registry failed with
   */
  async list(record: UpstreamRecord): Promise<Listing> {
    const { registry, snapshots } = this.#options;
    const listing = await this.#discover(record);
    const known = snapshots.current?.upstreams.get(record.id);
    const same = known?.state === "reachable" && sameCatalogue(snapshots.current as Snapshot, known, listing);
    if (!same) await registry.saveDiscovery(record.id, listing);
    return listing;
  }

  /**
   * Lists one upstream because somebody asked for it, and stores the outcome; parallel calls share one listing, unless the
   * upstream is reached in another way by now: then it is listed again after that.
   *
   * @throws {GatewayError} when the upstream was not asked at all, because its sessions are all busy
   */
  refresh(record: UpstreamRecord): Promise<void> {
    const running = this.#running.get(record.id);
    if (running !== undefined && isReachedAlike(running.record, record)) return running.work;
    const before = running?.work.catch(() => undefined) ?? Promise.resolve();
    const work = before
      .then(() => this.#refresh(record))
      .finally(() => {
        if (this.#running.get(record.id)?.work === work) this.#running.delete(record.id);
      });
    this.#running.set(record.id, { record, work });
    return work;
  }

  /** Whether an upstream is being listed because somebody asked for it. */
  isRefreshing(id: string): boolean {
    return this.#running.has(id);
  }

  /** Says that an upstream was listed just now, by somebody else. */
  listed(record: UpstreamRecord): void {
    const failure = record.state === "unreachable" ? (record.stateReason ?? "unreachable") : undefined;
    this.#options.onListed(record, { failure });
  }

  /** Waits for the first listing of upstreams that have none yet, by this process or another; bounded. */
  async ready(): Promise<void> {
    const { snapshots, readyTimeoutMs } = this.#options;
    const deadline = this.#waitUntil(snapshots.current);
    const leftMs = deadline - this.#now();
    if (leftMs <= 0) return;
    let timer: NodeJS.Timeout | undefined;
    let stop = () => {};
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.min(leftMs, readyTimeoutMs));
      stop = snapshots.onSnapshot((snapshot) => {
        if (this.#waitUntil(snapshot) <= this.#now()) resolve();
      });
    });
    clearTimeout(timer);
    stop();
  }

  /** When to stop waiting for those that were never listed; the past when there are none. */
  #waitUntil(snapshot: Snapshot | undefined): number {
    let until = Number.NEGATIVE_INFINITY;
    const upstreams = snapshot?.upstreams ?? new Map<string, UpstreamRecord>();
    for (const id of this.#firstSeenAt.keys()) if (!upstreams.has(id)) this.#firstSeenAt.delete(id);
    for (const { id, state } of upstreams.values()) {
      if (state !== "unknown") continue;
      const seenAt = this.#firstSeenAt.get(id) ?? this.#now();
      this.#firstSeenAt.set(id, seenAt);
      until = Math.max(until, seenAt + this.#options.readyTimeoutMs);
    }
    return until;
  }

  #discover(record: UpstreamRecord): Promise<Listing> {
    const { withSession, listing } = this.#options;
    return withSession(record, (session) => discover(session, listing));
  }

  async #refresh(record: UpstreamRecord): Promise<void> {
    const { registry, onListed } = this.#options;
    let outcome: Listing | { readonly failure: string };
    try {
      outcome = await this.#discover(record);
    } catch (error) {
      if (wasNotAsked(error)) throw failureOf(error, record.name);
      outcome = { failure: reasonOf(error) };
    }
    await registry.saveDiscovery(record.id, outcome);
    onListed(record, outcome);
  }
}
