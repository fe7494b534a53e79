import type { UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import type { UpstreamPool } from "../wiring/session-pool.ts";

/** Tells the pool of upstreams that are reachable again, whichever replica found it: its breaker need not wait. */
export class BackAgain {
  readonly #pool: Pick<UpstreamPool, "serverReached">;
  #before: ReadonlyMap<string, UpstreamRecord> = new Map();

  constructor(pool: Pick<UpstreamPool, "serverReached">) {
    this.#pool = pool;
  }

  /** Compares a snapshot with the one before. */
  follow({ upstreams }: Pick<Snapshot, "upstreams">): void {
    for (const { id, state } of upstreams.values()) {
      if (state === "reachable" && this.#before.get(id)?.state === "unreachable")
        this.#pool.serverReached(id);
    }
    this.#before = upstreams;
  }
}
