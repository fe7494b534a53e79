import type { UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { PollClaim, PolledServer, PollSchedule, PollType } from "@gatewright/server-classifier";
import { reasonOf } from "../calls/call-failure.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import type { SnapshotHolder } from "../registry/snapshot.ts";
import type { ListingOutcome, Refresher } from "../upstreams/refresher.ts";
import { wasNotAsked } from "../upstreams/was-not-asked.ts";
import { polledServer } from "../wiring/server-classifier.ts";
import { checkHealth } from "./check-health.ts";
import { duePolls } from "./due-polls.ts";

/** Polls that one look asks for; those of one look share a round trip, which should stay a short one. */
const maxAsked = 256;

/** What the poller works with. Times in milliseconds. */
export interface PollerOptions {
  readonly schedule: PollSchedule;
  readonly registry: Registry;
  readonly snapshots: SnapshotHolder;
  readonly refresher: Refresher;
  /** Runs `use` with a session of the gateway's own. */
  readonly withSession: <T>(
    record: UpstreamRecord,
    use: (session: UpstreamSession) => Promise<T>,
  ) => Promise<T>;
  readonly healthTimeoutMs: number;
  /** After so long a claim of the schedule is another's, unless it is renewed. */
  readonly claimMs: number;
  /** Health checks that fail in a row until an upstream is said to be unreachable. */
  readonly offlineAfterFailures: number;
  /** Told of every poll that was made. */
  readonly onPoll: (record: UpstreamRecord, pollType: PollType, failure: string | undefined) => void;
  /** Told of what the poller itself could not do. */
  readonly onError: (error: unknown) => void;
  /** Time between two looks at the schedule. Default 500. */
  readonly lookEveryMs?: number;
}

/**
 * Polls upstreams as the schedule says: health, and what they offer. Every replica runs one; of all of them the schedule
 * lets one make each poll. An upstream that fails its health checks is offline: then a health check is a whole listing,
 * and one that goes well brings it back.
 */
export class Poller {
  readonly #options: PollerOptions;
  readonly #open = new Set<PollClaim>();
  /** One object per record, which the schedule knows again. */
  readonly #polled = new WeakMap<UpstreamRecord, PolledServer>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  /** Starts to look for what is due. */
  start(): void {
    const { snapshots, lookEveryMs = 500 } = this.#options;
    // Whoever wrote what is new may say in the same turn that it was listed already.
    snapshots.onSnapshot(() => setImmediate(() => this.tick()));
    this.#timer = setInterval(() => this.tick(), lookEveryMs).unref();
    this.tick();
  }

  /** Starts the polls that are due now. */
  tick(): void {
    if (this.#stopped) return;
    const { schedule, snapshots, refresher, onError } = this.#options;
    const records = [...(snapshots.current?.upstreams.values() ?? [])];
    const idle = records.filter(({ id }) => !refresher.isRefreshing(id));
    const due = duePolls(schedule, idle, (record) => this.#serverOf(record));
    for (const { record, pollType } of due.slice(0, maxAsked)) this.#poll(record, pollType).catch(onError);
  }

  /** The upstream said that its lists have changed. */
  async listChanged(record: UpstreamRecord): Promise<void> {
    await this.#options.schedule.listChanged(this.#serverOf(record));
  }

  /** Books a listing that was made outside the schedule, on somebody's demand. */
  async listed(record: UpstreamRecord, outcome: ListingOutcome): Promise<void> {
    const { schedule } = this.#options;
    const server = this.#serverOf(record);
    if (outcome.failure !== undefined) return schedule.listChanged(server, "health");
    await schedule.complete(outside(this.#serverOf(record), "tool_discovery"), { ttlMs: outcome.ttlMs });
    await this.#firstHealth(record);
  }

  /** Ends polling. Polls under way are given back, so that another replica makes them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    const open = [...this.#open];
    this.#open.clear();
    await Promise.all(open.map((claim) => this.#options.schedule.abandon(claim)));
  }

  #serverOf(record: UpstreamRecord): PolledServer {
    let server = this.#polled.get(record);
    if (server === undefined) {
      server = polledServer(record);
      this.#polled.set(record, server);
    }
    return server;
  }

  async #poll(record: UpstreamRecord, pollType: PollType): Promise<void> {
    const { schedule, onPoll, claimMs, onError } = this.#options;
    const claim = await schedule.claim(this.#serverOf(record), pollType);
    if (claim === undefined) return;
    this.#open.add(claim);
    if (this.#stopped) {
      await this.#settle(claim, () => schedule.abandon(claim));
      return;
    }
    const work = pollType === "health" ? this.#health : this.#discovery;
    const renewal = setInterval(() => void schedule.renew(claim).catch(onError), claimMs / 2).unref();
    try {
      const ttlMs = await work.call(this, record);
      await this.#settle(claim, () => schedule.complete(claim, { ttlMs }));
      onPoll(record, pollType, undefined);
    } catch (error) {
      if (wasNotAsked(error)) {
        await this.#settle(claim, () => schedule.abandon(claim, { postponed: true }));
        return;
      }
      // One that `stop` has cut off says nothing against the upstream.
      const ended = await this.#settle(claim, () => this.#failed(claim, record, error));
      if (ended) onPoll(record, pollType, reasonOf(error));
    } finally {
      clearInterval(renewal);
    }
  }

  /** Ends a claim, unless `stop` has given it back meanwhile; tells whether it was still to be ended. */
  async #settle(claim: PollClaim, end: () => Promise<void>): Promise<boolean> {
    if (!this.#open.delete(claim)) return false;
    await end();
    return true;
  }

  async #discovery(record: UpstreamRecord): Promise<number | undefined> {
    const { ttlMs } = await this.#options.refresher.list(record);
    await this.#firstHealth(record);
    return ttlMs;
  }

  /** The first listing is the first health check too: a child process is not started twice. */
  async #firstHealth(record: UpstreamRecord): Promise<void> {
    const { schedule } = this.#options;
    if (schedule.explain(this.#serverOf(record), "health").lastPolledAt > 0) return;
    await schedule.complete(outside(this.#serverOf(record), "health"));
  }

  async #health(record: UpstreamRecord): Promise<undefined> {
    const { withSession, healthTimeoutMs, refresher, schedule } = this.#options;
    if (record.state !== "unreachable") {
      await withSession(record, (session) => checkHealth(session, healthTimeoutMs));
      return;
    }
    const { ttlMs } = await refresher.list(record);
    await schedule.complete(outside(this.#serverOf(record), "tool_discovery"), { ttlMs });
  }

  async #failed(claim: PollClaim, record: UpstreamRecord, error: unknown): Promise<void> {
    const { schedule, registry, snapshots, offlineAfterFailures } = this.#options;
    const failure = reasonOf(error);
    await schedule.abandon(claim, { failed: true });
    const { failures } = schedule.explain(claim.server, claim.pollType);
    const { state, stateReason } = snapshots.current?.upstreams.get(record.id) ?? record;
    const lost = claim.pollType === "health" && failures >= offlineAfterFailures;
    // One that was never reached has nothing to lose.
    const offline = state === "unknown" || (state === "reachable" && lost);
    const news = state === "unreachable" && stateReason !== failure;
    if (offline || news) await registry.saveDiscovery(record.id, { failure });
  }
}

/** A claim for what was polled without asking the schedule. */
function outside(server: PolledServer, pollType: PollType): PollClaim {
  return { server, pollType, token: "", degraded: false };
}
