import { setFlagsFromString } from "node:v8";

/**
 * Tells V8 not to allocate objects of hot places in the old generation at once (allocation-site pretenuring). The
 * objects of a call live for milliseconds; once V8 takes their places for long-lived ones, each dead object in the old
 * generation keeps a whole call alive until the next major collection. Measured on small tools/calls: 64 instead of
 * 88 µs of CPU a call.
 */
export function tuneV8(): void {
  setFlagsFromString("--no-allocation-site-pretenuring");
}
