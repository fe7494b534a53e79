import type { Clock } from "./clock.ts";

/** A sleep that can be cut short. One sleeper at a time. */
export interface Nap {
  sleep(ms: number): Promise<void>;
  /** Ends the present sleep, or the next one at once when nobody sleeps now. */
  wake(): void;
  /** Takes back a wake that no sleep has used. */
  reset(): void;
}

/** Makes a {@link Nap} on a clock. */
export function createNap(clock: Clock): Nap {
  let end: (() => void) | undefined;
  let woken = false;
  return {
    sleep(ms) {
      if (woken) {
        woken = false;
        return Promise.resolve();
      }
      return new Promise((resolve) => {
        const cancel = clock.setTimer(() => end?.(), ms);
        end = () => {
          cancel();
          end = undefined;
          resolve();
        };
      });
    },
    wake() {
      if (end !== undefined) end();
      else woken = true;
    },
    reset() {
      woken = false;
    },
  };
}
