import { randomBytes } from "node:crypto";

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

/** The last one made: its time, and the digits after it. */
let last = { ms: -1, tail: [] as number[] };

/**
 * A new id that sorts by time: a ULID (48 bits of milliseconds, 80 random bits), in lower case. Those that a process makes
 * in one millisecond sort in the order of making, too: each is the one before plus one.
 */
export function ulid(nowMs: number = Date.now()): string {
  const tail = nowMs === last.ms ? next(last.tail) : Array.from(randomBytes(16), (byte) => byte & 31);
  last = { ms: nowMs, tail };
  let time = "";
  for (let rest = nowMs, i = 0; i < 10; i++) {
    time = alphabet.charAt(rest % 32) + time;
    rest = Math.floor(rest / 32);
  }
  return time + tail.map((digit) => alphabet.charAt(digit)).join("");
}

/** The digits plus one; after the last number of all, which nobody meets, the first. */
function next(digits: readonly number[]): number[] {
  const sum = [...digits];
  for (let at = sum.length - 1; at >= 0; at--) {
    const digit = (sum[at] ?? 0) + 1;
    sum[at] = digit & 31;
    if (digit < 32) break;
  }
  return sum;
}
