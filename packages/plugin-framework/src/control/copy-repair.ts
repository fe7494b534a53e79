import type { Clock } from "../clock.ts";
import type { ModeState } from "../mode-state.ts";
import { pause } from "../within.ts";
import type { ControlBus } from "./control-bus.ts";
import type { ControlListener } from "./control-listener.ts";
import { scopeText } from "./control-record.ts";
import type { ControlTiming } from "./control-timing.ts";
import type { RecordFollower } from "./record-follower.ts";
import type { SingleFlight } from "./single-flight.ts";

/** Dependencies of {@link CopyRepair}. */
export interface CopyRepairDeps {
  readonly bus: ControlBus;
  readonly clock: Clock;
  readonly timing: ControlTiming;
  readonly listener: ControlListener;
  readonly follower: RecordFollower;
  readonly flights: SingleFlight;
}

/** Puts right the copies of a record that fenced plugins read, once one of them was seen to differ from it. */
export class CopyRepair {
  readonly #deps: CopyRepairDeps;

  constructor(deps: CopyRepairDeps) {
    this.#deps = deps;
  }

  /** A fenced reply was decided under a newer record than the one known here. */
  noteNewer(state: ModeState, tenant: string | undefined): void {
    const { bus, clock, timing, follower, flights } = this.#deps;
    const scope = scopeOf(state, tenant);
    flights.start(`new ${scope}`, async () => {
      const before = state.record(tenant)?.rev ?? 0;
      await follower.readScopes([scope]);
      if ((state.record(tenant)?.rev ?? 0) > before || bus.repair === undefined) return;
      // A copy is ahead of the record that is compared with: a write under way, or one that a failover lost.
      await pause(clock, timing.pollMinMs, true);
      await this.#repair(scope);
      await follower.readScopes([scope]);
    });
  }

  /**
   * A fenced reply was decided under an older copy, or there was none. While a switch is being written, a copy may lag for
   * a moment; it is looked at again before it is repaired. One that is absent can only be on its way where it would be the
   * first: else it is repaired at once.
   */
  noteStale(state: ModeState, tenant: string | undefined, absent: boolean): void {
    const { clock, timing, follower, flights } = this.#deps;
    const scope = scopeOf(state, tenant);
    flights.start(`old ${scope}`, async () => {
      await follower.readScopes([scope]);
      const lost = absent && (state.record(tenant)?.rev ?? 0) > 1;
      if (!lost) await pause(clock, timing.pollMinMs, true);
      await this.#repair(scope);
    });
  }

  async #repair(scope: string): Promise<void> {
    const { bus, listener } = this.#deps;
    const copies = (await bus.repair?.(scope)) ?? 0;
    if (copies === 0) return;
    listener.alert("record_lost", `${copies} of its copies differed`, scope);
    listener.alert("record_reasserted", `${copies} of its copies`, scope);
  }
}

function scopeOf({ plugin }: ModeState, tenant: string | undefined): string {
  return scopeText({ plugin, ...(tenant === undefined ? {} : { tenant }) });
}
