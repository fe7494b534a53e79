import type { Entry } from "./entry.ts";
import type { PoolState } from "./pool-state.ts";
import { type ChainVerdict, runProbes } from "./prober.ts";

/** Asks sessions that were idle for long whether they still live; one question per session at a time. */
export class Validator<S, C> {
  readonly #state: PoolState<S, C>;

  constructor(state: PoolState<S, C>) {
    this.#state = state;
  }

  /** Takes an idle session out of circulation and asks; `answered` is told whether it is healthy, unless it left meanwhile. */
  validate(entry: Entry<S, C>, answered: (healthy: boolean) => void): void {
    const { bucket } = entry;
    bucket.withdraw(entry);
    this.#state.idle.remove(entry);
    entry.validating = true;
    bucket.validating++;
    void this.#ask(entry.session).then(({ verdict, probe }) => {
      if (entry.state !== "live") return;
      entry.validating = false;
      bucket.validating--;
      const healthy = verdict === "ok" || verdict === "unsupported";
      if (!healthy) {
        this.#state.probeFailures++;
        this.#state.tell("probeFailed", { ...this.#state.eventOf(bucket), probe, verdict });
      }
      answered(healthy);
    });
  }

  async #ask(session: S): Promise<ChainVerdict> {
    const { clock, factory, options } = this.#state;
    try {
      const chain = typeof factory.probes === "function" ? factory.probes(session) : (factory.probes ?? []);
      return await runProbes(session, chain, options.probeTimeoutMs, clock);
    } catch {
      // Choosing the probes failed: the session is in no state to be handed out.
      return { verdict: "terminal", probe: "" };
    }
  }
}
