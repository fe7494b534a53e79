import type { PipelineObserver } from "@gatewright/plugin-framework";
import type { PluginStore } from "../registry/plugin-store.ts";

/** Most writes that may wait; beyond it the oldest news is the registry's loss, not the gateway's. */
const maxWaiting = 10_000;

/**
 * Writes what the pipeline tells of modes into the registry: overrides, so that they outlive a restart of
 * everything, and changes, for the audit. One write after the other, none of them in anybody's way.
 */
export class PluginJournal {
  readonly #store: PluginStore;
  readonly #onFailure: (error: unknown) => void;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(store: PluginStore, onFailure: (error: unknown) => void) {
    this.#store = store;
    this.#onFailure = onFailure;
  }

  /** What the pipeline tells. */
  readonly observer: PipelineObserver = {
    controlRecord: (scope, record) => this.#write(() => this.#store.saveOverride({ scope, record })),
    modeChange: (event) => this.#write(() => this.#store.addEvent(event)),
  };

  /** Resolves when everything told so far is written. Never rejects. */
  settled(): Promise<void> {
    return this.#last;
  }

  #write(work: () => Promise<void>): void {
    if (this.#waiting >= maxWaiting) return;
    this.#waiting++;
    this.#last = this.#last
      .then(work)
      .catch(this.#onFailure)
      .finally(() => {
        this.#waiting--;
      });
  }
}
