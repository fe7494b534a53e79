import type { Clock } from "./clock.ts";
import {
  createMemoryFenceStore,
  type Fence,
  type FenceStore,
  isHigher,
  isSameTimeline,
  unseenIn,
} from "./fence-store.ts";
import { unavailable } from "./refusals.ts";
import { within } from "./within.ts";

/** How long the store may take. */
const storeTimeoutMs = 1_000;
/** How long a store that did not answer the last time is waited for; it is asked all the same. */
const patienceMs = 50;

/** Which fence is in force: by what this process has seen, and by what the store says while it answers. */
export class FenceKnowledge {
  /** Whether there is a store beside this process's memory. */
  readonly shared: boolean;
  readonly #store: FenceStore;
  readonly #clock: Clock;
  #highest: Fence | undefined;
  /** Of each cluster the latest timeline on which a server took writes in this era, used or not. */
  readonly #sighted = new Map<string, number>();
  #away = false;
  #asking: Promise<void> | undefined;
  /** An operator has decided something that the store has not heard of. */
  #untold = false;

  constructor(store: FenceStore | undefined, clock: Clock) {
    this.shared = store !== undefined;
    this.#store = store ?? createMemoryFenceStore();
    this.#clock = clock;
  }

  /** The fence in force, as far as this process knows. */
  get highest(): Fence | undefined {
    return this.#highest;
  }

  /** The store did not answer when it was last asked. */
  get storeAway(): boolean {
    return this.#away;
  }

  /** Notes that a server of this timeline takes writes, long before anybody knows whether it can be used. */
  see({ systemIdentifier, timeline }: Pick<Fence, "systemIdentifier" | "timeline">): void {
    if (timeline > (this.#sighted.get(systemIdentifier) ?? 0)) this.#sighted.set(systemIdentifier, timeline);
  }

  /** Whether a later timeline of the same cluster was seen. */
  isOvertaken({ systemIdentifier, timeline }: Pick<Fence, "systemIdentifier" | "timeline">): boolean {
    return (this.#sighted.get(systemIdentifier) ?? 0) > timeline;
  }

  /** Asks the store. Without an answer, what this process has seen goes on counting. */
  async refresh(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    if (!this.#away) return this.#asking;
    await this.#bounded(this.#asking, patienceMs).catch(() => {});
  }

  /** Notes a fence that was found on a server, here and in the store. */
  async raise(fence: Fence): Promise<void> {
    if (!this.#away) {
      try {
        this.#follow(await this.#bounded(this.#store.raise(fence)));
        return;
      } catch {
        this.#away = true;
      }
    }
    if (!this.#highest || isHigher(fence, this.#highest)) this.#highest = fence;
  }

  /**
   * An operator's decision: begins an era in which nothing was seen. A store that does not answer is told when it does;
   * until then the decision holds for this process.
   */
  async overrule(): Promise<void> {
    const era = this.#highest?.era ?? 0;
    try {
      this.#follow(await this.#bounded(this.#store.overrule(era)));
      this.#untold = false;
    } catch {
      this.#follow(unseenIn(era + 1));
      this.#untold = true;
      this.#away = true;
    }
  }

  async #ask(): Promise<void> {
    try {
      const stored = await this.#bounded(this.#store.read());
      const inForce = this.#untold ? await this.#tellDecision() : await this.#upToDate(stored);
      if (inForce) this.#follow(inForce);
      await this.#tellSight();
      this.#away = false;
    } catch {
      this.#away = true;
    }
  }

  /**
   * A store that has forgotten, or that missed something while it was away, is told what was seen, also where no server of
   * that history is there now.
   */
  async #upToDate(stored: Fence | undefined): Promise<Fence | undefined> {
    const own = this.#highest;
    if (own === undefined || (stored !== undefined && !isHigher(own, stored))) return stored;
    return this.#bounded(this.#store.raise(own));
  }

  /** A later timeline counts for all from its first sight on, also while nobody gets as far as to write on it. */
  async #tellSight(): Promise<void> {
    const highest = this.#highest;
    if (!highest || !this.isOvertaken(highest)) return;
    const timeline = this.#sighted.get(highest.systemIdentifier) ?? 0;
    this.#follow(await this.#bounded(this.#store.raise({ ...highest, timeline, branch: "" })));
  }

  async #tellDecision(): Promise<Fence> {
    const own = this.#highest;
    const begun = await this.#bounded(this.#store.overrule(own?.era ?? 0));
    this.#untold = false;
    // What was seen since the decision was seen in the era that it begins.
    return own && own.timeline > 0 ? this.#bounded(this.#store.raise({ ...own, era: begun.era })) : begun;
  }

  /** Takes what is in force, unless this process has seen a higher one. */
  #follow(inForce: Fence): void {
    const before = this.#highest;
    // A sight of a timeline is less than what was written on it: a store that missed the branch does not take it away.
    if (before && isHigher(before, inForce)) return;
    if (before && !isHigher(inForce, before) && !isSameTimeline(inForce, before)) return;
    this.#highest = inForce;
    if (inForce.era > (before?.era ?? 0)) this.#sighted.clear();
  }

  /** A store that hangs is as good as one that fails. */
  #bounded<T>(call: Promise<T>, timeoutMs = storeTimeoutMs): Promise<T> {
    return within(this.#clock, call, timeoutMs, () => unavailable("the fence store does not answer"));
  }
}
