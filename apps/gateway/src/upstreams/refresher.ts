import type { UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import { reasonOf } from "../calls/call-failure.ts";
import type { Discovery, UpstreamRecord } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import type { SnapshotHolder } from "../registry/snapshot.ts";
import { discover } from "./discover.ts";

/** What the refresher works with. Times in milliseconds. */
export interface RefresherOptions {
  readonly registry: Registry;
  readonly snapshots: SnapshotHolder;
  /** Runs `use` with a session of the gateway's own. */
  readonly withSession: <T>(
    record: UpstreamRecord,
    use: (session: UpstreamSession) => Promise<T>,
  ) => Promise<T>;
  readonly listTimeoutMs: number;
  readonly refreshIntervalMs: number;
  readonly unreachableRetryMs: number;
  /** Longest wait of {@link Refresher.ready}. */
  readonly readyTimeoutMs: number;
  readonly onOutcome: (record: UpstreamRecord, failure: string | undefined) => void;
  /** Monotonic milliseconds; `performance.now` by default. */
  readonly now?: () => number;
}

/** Lists upstreams again: all at the start, then each when it is due, sooner while it is unreachable. */
export class Refresher {
  readonly #options: RefresherOptions;
  readonly #now: () => number;
  readonly #dueAt = new Map<string, number>();
  readonly #running = new Map<string, Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: RefresherOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Starts to list what was never listed by this process, and looks every second for what is due. */
  start(): void {
    this.tick();
    this.#options.snapshots.onSnapshot(() => this.tick());
    this.#timer = setInterval(() => this.tick(), 1_000).unref();
  }

  /** Starts the listings that are due now. */
  tick(): void {
    if (this.#stopped) return;
    const now = this.#now();
    const upstreams = this.#options.snapshots.current?.upstreams ?? new Map<string, UpstreamRecord>();
    for (const id of this.#dueAt.keys()) if (!upstreams.has(id)) this.#dueAt.delete(id);
    for (const record of upstreams.values()) {
      if ((this.#dueAt.get(record.id) ?? 0) > now || this.#running.has(record.id)) continue;
      void this.refresh(record).catch(() => undefined);
    }
  }

  /** Says that an upstream was listed just now, by somebody else. */
  listed(record: UpstreamRecord): void {
    this.#dueAt.set(record.id, this.#now() + this.#intervalOf(record, true));
  }

  /** Lists one upstream and stores the outcome; parallel calls share one listing. */
  refresh(record: UpstreamRecord): Promise<void> {
    const running = this.#running.get(record.id);
    if (running !== undefined) return running;
    const work = this.#refresh(record).finally(() => this.#running.delete(record.id));
    this.#running.set(record.id, work);
    return work;
  }

  /** Waits for the first listing of upstreams that have none yet; bounded. */
  async ready(): Promise<void> {
    const missing: Promise<void>[] = [];
    for (const record of this.#options.snapshots.current?.upstreams.values() ?? []) {
      const running = record.state === "unknown" ? this.#running.get(record.id) : undefined;
      if (running !== undefined) missing.push(running);
    }
    if (missing.length === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.readyTimeoutMs);
    });
    await Promise.race([Promise.allSettled(missing), timeout]);
    clearTimeout(timer);
    await this.#options.snapshots.refresh();
  }

  /** Stops looking; listings under way end by themselves. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  async #refresh(record: UpstreamRecord): Promise<void> {
    const { registry, withSession, listTimeoutMs, onOutcome } = this.#options;
    let outcome: Discovery | { readonly failure: string };
    try {
      outcome = await withSession(record, (session) => discover(session, listTimeoutMs));
    } catch (error) {
      outcome = { failure: reasonOf(error) };
    }
    const failure = "failure" in outcome ? outcome.failure : undefined;
    this.#dueAt.set(record.id, this.#now() + this.#intervalOf(record, failure === undefined));
    if (this.#stopped) return;
    await registry.saveDiscovery(record.id, outcome);
    onOutcome(record, failure);
  }

  #intervalOf(record: UpstreamRecord, reachable: boolean): number {
    if (!reachable) return this.#options.unreachableRetryMs;
    const own = record.definition.refreshIntervalSeconds;
    return own === undefined ? this.#options.refreshIntervalMs : own * 1_000;
  }
}
