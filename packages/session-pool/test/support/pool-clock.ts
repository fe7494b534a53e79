import type { Clock } from "@gatewright/session-pool";
import { createFakeClock, type FakeClock } from "@gatewright/testkit";

/** The testkit's clock in the shape that the pool takes. */
export function createPoolClock(): { clock: Clock; time: FakeClock } {
  const time = createFakeClock();
  return {
    time,
    clock: {
      now: time.monotonic,
      wallNow: time.now,
      setTimer(run, ms) {
        const timer = time.setTimeout(run, ms);
        return { cancel: () => time.clearTimeout(timer) };
      },
    },
  };
}
