import {
  type ModeEvent,
  type PipelineObserver,
  type SavedOverride,
  scopeText,
} from "@gatewright/plugin-framework";
import { isAway } from "../registry/is-away.ts";
import type { PluginStore } from "../registry/plugin-store.ts";
import { EventNames } from "./event-names.ts";

/** Most changes that wait for the registry; the registry keeps no more either, and the oldest go first. */
const maxEvents = 1_000;
/** Pause before what failed is tried again: at first, and at most. */
const minPauseMs = 250;
const maxPauseMs = 5_000;

/**
 * Writes what the pipeline tells of modes into the registry: overrides, so that they outlive a restart of everything,
 * and changes, for the audit. One write after the other, none of them in anybody's way; what the registry does not take
 * while its database is away is written when it is back, of each scope the newest override.
 */
export class PluginJournal {
  readonly #store: PluginStore;
  readonly #onFailure: (error: unknown, unwritten: number) => void;
  readonly #overrides = new Map<string, SavedOverride>();
  readonly #events = new Map<string, ModeEvent>();
  readonly #names = new EventNames();
  #last: Promise<void> = Promise.resolve();
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param onFailure told of each attempt that failed, and of how much waits */
  constructor(store: PluginStore, onFailure: (error: unknown, unwritten: number) => void) {
    this.#store = store;
    this.#onFailure = onFailure;
  }

  /** What the pipeline tells. */
  readonly observer: PipelineObserver = {
    controlRecord: (scope, record) => {
      this.#overrides.set(scopeText(scope), { scope, record });
      this.#soon();
    },
    modeChange: (event) => {
      const [oldest] = this.#events.keys();
      if (this.#events.size >= maxEvents && oldest !== undefined) this.#events.delete(oldest);
      this.#events.set(this.#names.nameOf(event), event);
      this.#soon();
    },
  };

  /** Resolves when everything told so far was written, or could not be at the moment. Never rejects. */
  settled(): Promise<void> {
    return this.#last;
  }

  /** A last attempt; what the registry does not take then is lost. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#soon();
    await this.#last;
  }

  #soon(): void {
    this.#last = this.#last.then(() => this.#write());
  }

  async #write(): Promise<void> {
    try {
      for (const [text, override] of this.#overrides) {
        await this.#store.saveOverride(override);
        // A newer one may have come meanwhile.
        if (this.#overrides.get(text) === override) this.#overrides.delete(text);
      }
      for (const [name, event] of this.#events) {
        await this.#store.addEvent(event, name);
        this.#events.delete(name);
      }
      this.#failures = 0;
    } catch (error) {
      this.#failures++;
      this.#onFailure(error, this.#overrides.size + this.#events.size);
      this.#later(isAway(error) ? minPauseMs : maxPauseMs);
    }
  }

  #later(firstMs: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const pauseMs = Math.min(maxPauseMs, firstMs * 2 ** Math.min(this.#failures - 1, 5));
    this.#timer = setTimeout(() => this.#soon(), pauseMs * (0.5 + Math.random() / 2)).unref();
  }
}
