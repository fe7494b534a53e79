import { describe, expect, it } from "vitest";
import {
  type Attempt,
  createBudget,
  createRetrier,
  type RetryError,
  type RetryOptions,
} from "../src/index.ts";
import { fakeTime, idempotent, readOnly } from "./helpers.ts";

const policy = { hedge: { delayMs: 50 }, jitter: "none", budget: false } as const;

function setup(
  over: Parameters<typeof createRetrier>[0] = {},
  deps: Parameters<typeof createRetrier>[1] = {},
) {
  const { clock, fake } = fakeTime();
  const skipped: string[] = [];
  const observer = { onGiveUp: (d: { reason: string }) => skipped.push(d.reason) };
  const retrier = createRetrier({ ...policy, ...over }, { clock, observer, ...deps });
  const seen: Attempt[] = [];
  /** The primary takes 500 ms, a hedge 20 ms. */
  const run = (options: RetryOptions) =>
    retrier.retry(async (attempt) => {
      seen.push(attempt);
      await fake.sleep(attempt.hedge ? 20 : 500, attempt.signal ? { signal: attempt.signal } : {});
      return { by: attempt.hedge ? "hedge" : "primary", at: fake.monotonic() };
    }, options);
  return { fake, retrier, seen, skipped, run };
}

describe("hedging", () => {
  it("RB-12 a slow read-only call is answered by a second attempt after 50 ms, and the loser is aborted", async () => {
    const { fake, seen, run, retrier } = setup();
    const answer = run({ ...readOnly, concurrent: true });
    await fake.advance(1_000);
    expect(await answer).toEqual({ by: "hedge", at: 70 });
    expect(seen.map(({ number, hedge }) => [number, hedge])).toEqual([
      [1, false],
      [1, true],
    ]);
    const loser = seen[0]?.signal;
    expect(loser?.aborted).toBe(true);
    expect((loser?.reason as RetryError | undefined)?.code).toBe("hedge_lost");
    expect(retrier.stats()).toMatchObject({ hedges: 1, retries: 0, giveUps: {} });
    expect(fake.pendingTimers).toBe(0);
  });

  it("RB-12 a tool that writes is never hedged, even when it is idempotent", async () => {
    for (const hints of [{}, idempotent, { annotations: { readOnlyHint: true } }]) {
      const { fake, seen, skipped, run } = setup();
      const answer = run({ ...hints, concurrent: true });
      await fake.advance(1_000);
      expect(await answer).toMatchObject({ by: "primary" });
      expect(seen).toHaveLength(1);
      expect(skipped).toEqual(["hedge_not_read_only"]);
    }
  });

  it("is skipped with hedge_needs_session where the session has no room", async () => {
    for (const concurrent of [undefined, false, () => false]) {
      const { fake, seen, skipped, run } = setup();
      const answer = run({ ...readOnly, concurrent });
      await fake.advance(1_000);
      expect(await answer).toMatchObject({ by: "primary" });
      expect(seen).toHaveLength(1);
      expect(skipped).toEqual(["hedge_needs_session"]);
    }
  });

  it("looks for room when the hedge is due, as that may have changed", async () => {
    const { fake, seen, skipped, run } = setup();
    const freeFromMs = 40;
    const answer = run({ ...readOnly, concurrent: () => fake.monotonic() >= freeFromMs });
    await fake.advance(1_000);
    expect(await answer).toMatchObject({ by: "hedge" });
    expect(seen).toHaveLength(2);
    expect(skipped).toEqual([]);
  });

  it("does nothing when the first attempt is quick enough", async () => {
    const { retrier, fake, skipped } = setup();
    let calls = 0;
    for (const concurrent of [() => true, false]) {
      expect(await retrier.retry(() => ++calls, { ...readOnly, concurrent })).toBe(calls);
    }
    await fake.advance(1_000);
    expect(calls).toBe(2);
    expect(skipped).toEqual([]);
  });

  it("shares the budget: without a grant there is no second attempt", async () => {
    const budget = createBudget({ ratio: 0, floorPerSecond: 0 });
    const { fake, seen, run, skipped } = setup({}, { budget });
    const heard: string[] = [];
    const answer = run({ ...readOnly, concurrent: true, onNoHedge: (reason) => heard.push(reason) });
    await fake.advance(1_000);
    expect(await answer).toMatchObject({ by: "primary" });
    expect(seen).toHaveLength(1);
    expect(skipped).toEqual(["hedge_budget_exhausted"]);
    expect(heard).toEqual(["hedge_budget_exhausted"]);
  });

  it("starts at most maxHedges, and fails with the last error only when all failed", async () => {
    const { fake, retrier } = setup({ hedge: { delayMs: 50, maxHedges: 2 }, maxRetries: 0 });
    let started = 0;
    const call = retrier
      .retry(
        async ({ signal }) => {
          const n = ++started;
          await fake.sleep(200, signal ? { signal } : {});
          throw new Error(`no ${n}`);
        },
        { ...readOnly, concurrent: true },
      )
      .catch((error: Error) => error.message);
    await fake.advance(2_000);
    expect(await call).toBe("no 3");
    expect(started).toBe(3);
  });

  it("a result that says it failed wins no race, and is the answer when nothing better comes", async () => {
    const failure = { isError: true };
    for (const [primary, wanted] of [
      ["fine", "fine"],
      [
        { isError: true, last: true },
        { isError: true, last: true },
      ],
    ]) {
      const { fake, retrier } = setup({ maxRetries: 0 });
      const call = retrier.retry(
        async ({ hedge, signal }) => {
          await fake.sleep(hedge ? 20 : 500, signal ? { signal } : {});
          return hedge ? failure : primary;
        },
        { ...readOnly, concurrent: true },
      );
      await fake.advance(1_000);
      expect(await call).toEqual(wanted);
    }
  });

  it("a loser that does not listen leaves no timer behind", async () => {
    const { fake, retrier } = setup({ attemptTimeoutMs: 60_000 });
    const call = retrier.retry(({ hedge }) => (hedge ? "hedge" : new Promise<never>(() => {})), {
      ...readOnly,
      concurrent: true,
    });
    await fake.advance(100);
    expect(await call).toBe("hedge");
    expect(fake.pendingTimers).toBe(0);
  });

  it("an inner layer does not hedge, and one who cannot say whether there is room has none", async () => {
    const inner = setup();
    const nested = inner.run({ ...readOnly, concurrent: true, within: { number: 1, hedge: false } });
    await inner.fake.advance(1_000);
    expect(await nested).toMatchObject({ by: "primary" });
    expect(inner.seen).toHaveLength(1);
    const broken = setup();
    const concurrent = () => {
      throw new Error("room");
    };
    const answer = broken.run({ ...readOnly, concurrent });
    await broken.fake.advance(1_000);
    expect(await answer).toMatchObject({ by: "primary" });
    expect(broken.skipped).toEqual(["hedge_needs_session"]);
  });

  it("keeps to the deadline: a hedge has no more time than is left", async () => {
    const { fake, retrier } = setup({ totalDeadlineMs: 100 });
    const left: Array<number | undefined> = [];
    const call = retrier
      .retry(({ remainingMs }) => new Promise<never>(() => left.push(remainingMs)), {
        ...readOnly,
        concurrent: true,
      })
      .catch((error: RetryError) => [error.code, fake.monotonic()]);
    await fake.advance(1_000);
    expect(await call).toEqual(["deadline", 100]);
    expect(left).toEqual([100, 50]);
    expect(fake.pendingTimers).toBe(0);
  });

  it("starts no hedge with less than minAttemptMs left", async () => {
    const { fake, retrier, seen, run } = setup({ minAttemptMs: 40 });
    const call = run({ ...readOnly, concurrent: true, deadline: 80 }).catch(
      (error: RetryError) => error.code,
    );
    await fake.advance(1_000);
    expect(await call).toBe("deadline");
    expect(seen).toHaveLength(1);
    expect(retrier.stats().hedges).toBe(0);
    expect(fake.pendingTimers).toBe(0);
  });

  it("starts no hedge after stop(), and none that a budget which fails would have to pay", async () => {
    const stopped = setup();
    const answer = stopped.run({ ...readOnly, concurrent: true });
    await stopped.fake.advance(10);
    stopped.retrier.stop();
    await stopped.fake.advance(1_000);
    expect(await answer).toMatchObject({ by: "primary" });
    expect(stopped.seen).toHaveLength(1);
    const budget = { deposit: () => undefined, withdraw: () => Promise.reject(new Error("budget")) };
    const broken = setup({}, { budget });
    const other = broken.run({ ...readOnly, concurrent: true });
    await broken.fake.advance(1_000);
    expect(await other).toMatchObject({ by: "primary" });
    expect(broken.seen).toHaveLength(1);
  });

  it("a hedged race that failed is retried like any attempt, and an abort ends it", async () => {
    const { fake, retrier } = setup();
    let calls = 0;
    const fn = () => {
      calls++;
      if (calls === 1) throw new Error("first");
      return "ok";
    };
    const answer = retrier.retry(fn, { ...readOnly, concurrent: true });
    await fake.advance(1_000);
    expect(await answer).toBe("ok");
    const controller = new AbortController();
    const hung = retrier.retry(() => new Promise<never>(() => {}), {
      ...readOnly,
      concurrent: true,
      signal: controller.signal,
    });
    controller.abort(new Error("gone"));
    await expect(hung).rejects.toThrow("gone");
    expect(fake.pendingTimers).toBe(0);
  });
});
