import type { Entry } from "./entry.ts";
import type { Evictor } from "./evictor.ts";
import type { ReleaseVerdict } from "./lease.ts";
import type { PoolState } from "./pool-state.ts";

/** Decides what becomes of a session that was given back after anything but an answer. */
export class ReleaseJudge<S, C> {
  readonly #state: PoolState<S, C>;
  readonly #evictor: Evictor<S, C>;

  constructor(state: PoolState<S, C>, evictor: Evictor<S, C>) {
    this.#state = state;
    this.#evictor = evictor;
  }

  judge(entry: Entry<S, C>, verdict: Exclude<ReleaseVerdict, "ok" | "application_error">): void {
    switch (verdict) {
      case "cancelled":
        return;
      case "broken":
      case "lost":
        this.#evictor.retire(entry, verdict);
        return;
      case "timeout":
        if (++entry.timeouts >= this.#state.options.retireAfterTimeouts) {
          this.#evictor.retire(entry, "timeouts");
        }
        return;
      case "unauthorized": {
        const { staleCredentials } = this.#state;
        if (entry.state !== "live") return;
        if (staleCredentials.size >= this.#state.options.maxTotal) staleCredentials.clear();
        staleCredentials.add(entry.bucket.key.id);
        for (const sibling of [...entry.bucket.entries]) this.#evictor.retire(sibling, "unauthorized");
      }
    }
  }
}
