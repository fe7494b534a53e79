import type { ClockTimer } from "./clock.ts";
import type { Evictor } from "./evictor.ts";
import type { PoolState } from "./pool-state.ts";

/** Looks around in the background: closes idle and aged sessions, and those whose downstream session fell silent. */
export class Reaper<S, C> {
  readonly #state: PoolState<S, C>;
  readonly #evictor: Evictor<S, C>;
  #timer: ClockTimer | undefined = undefined;

  constructor(state: PoolState<S, C>, evictor: Evictor<S, C>) {
    this.#state = state;
    this.#evictor = evictor;
  }

  start(): void {
    this.#timer = this.#state.clock.setTimer(
      () => {
        this.reap();
        this.start();
      },
      this.#state.options.reapIntervalMs,
      true,
    );
  }

  stop(): void {
    this.#timer?.cancel();
  }

  reap(): void {
    const { buckets, clock, options } = this.#state;
    const nowMs = clock.now();
    const silent = this.#silentDownstreams(nowMs);
    for (const bucket of buckets.values()) {
      for (const entry of bucket.entries) {
        if (entry.inFlight > 0 || entry.validating) continue;
        if (bucket.stateful) {
          if (silent.has(bucket.key.downstream ?? "")) this.#evictor.retire(entry, "downstream_ended");
        } else if (nowMs - entry.lastUsedMs >= options.idleEvictMs) this.#evictor.retire(entry, "idle");
        else if (nowMs >= entry.expiresAtMs) this.#evictor.retire(entry, "age");
      }
    }
  }

  /** Downstream sessions that no lease and no touch has kept alive on any server. */
  #silentDownstreams(nowMs: number): Set<string> {
    const { buckets, options, touched } = this.#state;
    const lastSeen = new Map(touched);
    for (const { entries, key } of buckets.values()) {
      if (key.downstream === undefined) continue;
      for (const entry of entries) {
        const seen = entry.inFlight > 0 ? nowMs : entry.lastUsedMs;
        lastSeen.set(key.downstream, Math.max(seen, lastSeen.get(key.downstream) ?? 0));
      }
    }
    const silent = new Set<string>();
    for (const [downstream, seen] of lastSeen) {
      if (nowMs - seen < options.downstreamIdleMs) continue;
      silent.add(downstream);
      touched.delete(downstream);
    }
    return silent;
  }
}
