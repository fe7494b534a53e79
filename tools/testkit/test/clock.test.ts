import { describe, expect, it } from "vitest";
import { createFakeClock, eventually, seededRandom } from "../src/index.ts";

describe("createFakeClock", () => {
  it("runs timers in order of their time, promise callbacks between them", async () => {
    const clock = createFakeClock({ startMs: 1_000 });
    const seen: string[] = [];
    clock.setTimeout(() => seen.push(`b@${clock.now()}`), 20);
    clock.setTimeout(() => {
      seen.push(`a@${clock.now()}`);
      Promise.resolve().then(() => clock.setTimeout(() => seen.push(`chained@${clock.now()}`), 5));
    }, 10);
    await clock.advance(30);
    expect(seen).toEqual(["a@1010", "chained@1015", "b@1020"]);
    expect(clock.now()).toBe(1_030);
    expect(clock.pendingTimers).toBe(0);
  });

  it("repeats intervals until they are cleared", async () => {
    const clock = createFakeClock();
    let count = 0;
    const timer = clock.setInterval(() => ++count, 10);
    await clock.advance(35);
    clock.clearInterval(timer);
    await clock.advance(100);
    expect(count).toBe(3);
  });

  it("rejects a sleep with the signal's reason and forgets its timer", async () => {
    const clock = createFakeClock();
    const controller = new AbortController();
    const sleep = clock.sleep(1_000, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(sleep).rejects.toThrow("enough");
    expect(clock.pendingTimers).toBe(0);
    await expect(clock.sleep(1, { signal: controller.signal })).rejects.toThrow("enough");
  });

  it("keeps the monotonic clock and the timers when the wall clock is set back", async () => {
    const clock = createFakeClock({ startMs: 5_000 });
    let fired = false;
    clock.setTimeout(() => {
      fired = true;
    }, 100);
    clock.setNow(1_000);
    expect([clock.now(), clock.monotonic()]).toEqual([1_000, 0]);
    clock.advanceSync(100);
    expect(fired).toBe(true);
    expect([clock.now(), clock.monotonic()]).toEqual([1_100, 100]);
  });

  it("steps from timer to timer", async () => {
    const clock = createFakeClock({ startMs: 0 });
    clock.setTimeout(() => {}, 70).unref();
    expect(await clock.next()).toBe(true);
    expect(clock.now()).toBe(70);
    expect(await clock.next()).toBe(false);
  });
});

describe("seededRandom", () => {
  it("repeats its sequence for the same seed, stays in [0, 1) and is roughly even", () => {
    const [first, second, other] = [seededRandom(7), seededRandom(7), seededRandom(8)];
    const values = Array.from({ length: 10_000 }, first);
    expect(values.slice(0, 5)).toEqual(Array.from({ length: 5 }, second));
    expect(values[0]).not.toBe(other());
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.02);
  });
});

describe("eventually", () => {
  it("returns the value of the first attempt that neither throws nor is false", async () => {
    let attempt = 0;
    const value = await eventually(
      () => {
        if (++attempt === 1) throw new Error("not yet");
        return attempt > 2 && "done";
      },
      { intervalMs: 1 },
    );
    expect(value).toBe("done");
    expect(attempt).toBe(3);
  });

  it("gives up at the deadline with the last failure", async () => {
    const never = () => Promise.reject(new Error("still broken"));
    await expect(eventually(never, { timeoutMs: 30, intervalMs: 5 })).rejects.toThrow(
      "Not within 30 ms: still broken",
    );
  });
});
