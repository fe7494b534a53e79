import type { Logger } from "pino";
import type { UpstreamRecord } from "../registry/records.ts";

/** Logs how polls ended: the first failure and the first success after one, and the rest at `debug`. */
export class OutcomeLog {
  readonly #logger: Logger;
  readonly #failing = new Set<string>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** A poll has ended; `failure` says why it did not go well. */
  tell(record: UpstreamRecord, failure: string | undefined, pollType?: string): void {
    const facts = { upstream: record.name, ...(pollType === undefined ? {} : { pollType }) };
    const known = this.#failing.has(record.id);
    if (failure === undefined) {
      this.#failing.delete(record.id);
      this.#logger[known ? "info" : "debug"](facts, known ? "upstream answers again" : "upstream polled");
      return;
    }
    this.#failing.add(record.id);
    this.#logger[known ? "debug" : "warn"]({ ...facts, reason: failure }, "upstream unreachable");
  }

  /** Forgets upstreams that are gone. */
  keepOnly(upstreams: ReadonlyMap<string, unknown>): void {
    for (const id of this.#failing) if (!upstreams.has(id)) this.#failing.delete(id);
  }
}
