import type { UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";

/** Sees when the limits of an upstream's sessions change, so that they hold at once. */
export class SessionLimits {
  readonly #known = new Map<string, string>();
  readonly #onChanged: (upstreamId: string) => void;

  constructor(onChanged: (upstreamId: string) => void) {
    this.#onChanged = onChanged;
  }

  /** Compares a new snapshot with the last. */
  follow({ upstreams }: Snapshot): void {
    for (const id of this.#known.keys()) if (!upstreams.has(id)) this.#known.delete(id);
    for (const record of upstreams.values()) {
      const limits = limitsOf(record);
      const before = this.#known.get(record.id);
      this.#known.set(record.id, limits);
      if (before !== undefined && before !== limits) this.#onChanged(record.id);
    }
  }
}

function limitsOf({ definition: { maxConcurrencyPerSession, caps } }: UpstreamRecord): string {
  return JSON.stringify([maxConcurrencyPerSession, caps?.perKey, caps?.perServer]);
}
