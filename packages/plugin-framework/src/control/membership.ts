import type { Clock, Timer } from "../clock.ts";
import { within } from "../within.ts";
import { type ControlBus, HEARTBEAT_MS } from "./control-bus.ts";
import type { ControlTiming } from "./control-timing.ts";

/** Dependencies of {@link Membership}. */
export interface MembershipDeps {
  readonly bus: ControlBus;
  readonly replica: string;
  readonly clock: Clock;
  readonly timing: ControlTiming;
}

/**
 * Keeps this replica among the members, and knows when the list of them may lack some that live: until the next beat of
 * all the others after the list was begun, or after this replica found itself missing. A list is begun when the fleet is,
 * and when the store lost the one before: a replica that has just joined cannot tell which.
 */
export class Membership {
  readonly #bus: ControlBus;
  readonly #replica: string;
  readonly #clock: Clock;
  readonly #storeMs: number;
  #registering = true;
  #completeAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #closed = false;

  constructor({ bus, replica, clock, timing }: MembershipDeps) {
    this.#bus = bus;
    this.#replica = replica;
    this.#clock = clock;
    this.#storeMs = timing.storeMs;
  }

  /** May the list lack a replica that lives? */
  get incomplete(): boolean {
    return this.#clock.now() < this.#completeAt;
  }

  /** Registers; then says every two seconds that this replica lives. */
  async start(): Promise<void> {
    await this.beat();
    this.#schedule();
  }

  /** Once more, now: the store may have been away. Never rejects. */
  async beat(): Promise<void> {
    if (this.#closed) return;
    const registering = this.#registering;
    this.#registering = false;
    try {
      const { known, keptMs } = await within(this.#clock, this.#storeMs, this.#bus.beat(this.#replica));
      if (!known && !registering) this.#wait(0);
      else if (keptMs !== undefined) this.#wait(keptMs);
    } catch {
      // The next beat tells.
    }
  }

  /** The members, this replica among them. */
  async read(): Promise<readonly string[]> {
    const members = await within(this.#clock, this.#storeMs, this.#bus.members());
    if (members.includes(this.#replica)) return members;
    if (!this.incomplete) this.#wait(0);
    void this.beat();
    return [...members, this.#replica];
  }

  /** Ends the beats and leaves. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await within(this.#clock, this.#storeMs, this.#bus.leave(this.#replica)).catch(() => undefined);
  }

  /** Until the list has been kept for one beat of everybody; one that waits for the store takes so much longer. */
  #wait(keptMs: number): void {
    if (this.#bus.synchronous) return;
    const completeAt = this.#clock.now() + HEARTBEAT_MS + this.#storeMs - keptMs;
    this.#completeAt = Math.max(this.#completeAt, completeAt);
  }

  #schedule(): void {
    if (this.#closed) return;
    const next = () => void this.beat().then(() => this.#schedule());
    this.#timer = this.#clock.setTimer(next, HEARTBEAT_MS, { background: true });
  }
}
