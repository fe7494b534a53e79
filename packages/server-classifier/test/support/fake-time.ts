import { createFakeClock } from "@gatewright/testkit";
import type { Clock } from "../../src/index.ts";

/** A fake clock in the shape this package asks for; `skewMs` is how wrong its wall clock is. */
export function fakeTime(skewMs = 0) {
  const fake = createFakeClock();
  const clock: Clock = {
    now: () => fake.monotonic(),
    wall: () => fake.now() + skewMs,
    setTimer(callback, ms) {
      const timer = fake.setTimeout(callback, ms);
      return () => fake.clearTimeout(timer);
    },
  };
  return { fake, clock };
}
