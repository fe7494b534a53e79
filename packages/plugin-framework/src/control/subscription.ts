import type { ControlAlert } from "../observer.ts";
import type { ControlBus, ControlFrame } from "./control-bus.ts";

/** Dependencies of {@link Subscription}. */
export interface SubscriptionDeps {
  readonly bus: ControlBus;
  readonly onFrame: (frame: ControlFrame) => void;
  /** Frames may have been lost. */
  readonly onGap: () => void;
  readonly alert: (kind: ControlAlert["kind"], detail: string) => void;
}

/**
 * The one subscription of a replica. Where it is refused, that is told once and tried again whenever it is asked for;
 * an attempt that hangs is the only one, so nothing piles up.
 */
export class Subscription {
  readonly #deps: SubscriptionDeps;
  #stop: (() => void) | undefined;
  #pending = false;
  #failed = false;
  #closed = false;

  constructor(deps: SubscriptionDeps) {
    this.#deps = deps;
  }

  /** Subscribes, unless that is done or under way. Never rejects. */
  async ensure(): Promise<void> {
    if (this.#stop !== undefined || this.#pending || this.#closed) return;
    this.#pending = true;
    const { bus, onFrame, onGap, alert } = this.#deps;
    try {
      const stop = await bus.subscribe(onFrame, onGap, (error) => {
        this.#stop = undefined;
        this.failed(error);
      });
      if (this.#closed) return stop();
      this.#stop = stop;
      if (this.#failed) alert("subscription_restored", "messages are heard again");
      this.#failed = false;
    } catch (error) {
      this.failed(error);
    } finally {
      this.#pending = false;
    }
  }

  /** Tells it, once until it works: without messages a switch takes until the next poll. */
  failed(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#deps.alert("subscription_failed", error instanceof Error ? error.message : String(error));
  }

  close(): void {
    this.#closed = true;
    this.#stop?.();
  }
}
