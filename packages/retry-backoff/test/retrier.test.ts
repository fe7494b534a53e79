import { eventually, seededRandom } from "@gatewright/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Attempt,
  createBudget,
  createRetrier,
  type Decision,
  type GiveUpDecision,
  RetryError,
  type RetryOptions,
  type RetryPolicyInput,
  retry,
} from "../src/index.ts";
import { fakeTime } from "./helpers.ts";

const soon = { jitter: "none", baseMs: 1, maxMs: 1 } as const;

function failing(times: number, make: (n: number) => unknown = (n) => new Error(`no ${n}`)) {
  const seen: Attempt[] = [];
  const fn = async (attempt: Attempt) => {
    seen.push(attempt);
    if (seen.length <= times) throw make(seen.length);
    return "done";
  };
  return { fn, seen };
}

describe("retry", () => {
  it("RB-4 with two retries, a call that fails twice succeeds at the third attempt", async () => {
    const { fn, seen } = failing(2);
    expect(await retry(fn, soon, { idempotent: true })).toBe("done");
    expect(seen.map((a) => a.number)).toEqual([1, 2, 3]);
  });

  it("RB-4 a call that fails three times ends with its last error, unchanged", async () => {
    const errors = [new Error("a"), new Error("b"), new Error("c")];
    const { fn, seen } = failing(3, (n) => errors[n - 1]);
    await expect(retry(fn, soon, { idempotent: true })).rejects.toBe(errors[2]);
    expect(seen).toHaveLength(3);
  });

  it("RB-10 says of a call that was repeated under a key that it may have been executed, however it ends", async () => {
    const lost = Object.assign(new Error("socket hang up"), { code: "ECONNRESET" });
    const busy = Object.assign(new Error("busy"), { status: 503 });
    const unknownOf = async (first: Error, options: RetryOptions, policy: RetryPolicyInput = soon) => {
      const told: (boolean | undefined)[] = [];
      const observer = {
        onGiveUp: (decision: GiveUpDecision) => void told.push(decision.outcomeUnknown),
      };
      const { fn } = failing(3, (n) => (n === 1 ? first : busy));
      await expect(createRetrier(policy, { observer }).retry(fn, options)).rejects.toBe(busy);
      return told;
    };
    const readOnly = { annotations: { readOnlyHint: true }, serverTrusted: true };
    expect(await unknownOf(lost, { serverHonoursKeys: true })).toEqual([true]);
    expect(await unknownOf(lost, { idempotencyKey: "mine" })).toEqual([true]);
    expect(await unknownOf(lost, {}, { ...soon, repeatUnsafe: true })).toEqual([true]);
    expect(await unknownOf(busy, { serverHonoursKeys: true })).toEqual([undefined]);
    expect(await unknownOf(lost, { serverHonoursKeys: true, ...readOnly })).toEqual([undefined]);
    expect(await unknownOf(lost, { serverHonoursKeys: true, idempotent: true })).toEqual([undefined]);
    const { fn } = failing(2, () => lost);
    const decisions: Decision[] = [];
    const onDecision = (decision: Decision) => void decisions.push(decision);
    expect(await retry(fn, soon, { idempotencyKey: "mine", onDecision })).toBe("done");
    expect(decisions.at(-1)).toEqual({ retry: false, reason: "success" });
  });

  it("RB-10 RB-13 a call that is stopped in a wait says whether it may have been executed", async () => {
    for (const [first, outcomeUnknown] of [
      [{ code: "ECONNRESET" }, true],
      [{ status: 503 }, undefined],
    ] as const) {
      const retrier = createRetrier({ jitter: "none", baseMs: 5_000 });
      const call = retrier.retry(failing(1, () => first).fn, { serverHonoursKeys: true });
      await eventually(() => retrier.stats().sleeping === 1);
      retrier.stop();
      await expect(call).rejects.toMatchObject({ code: "shutdown", details: { outcomeUnknown } });
    }
  });

  it("hands back the last failed result, unchanged", async () => {
    const results = [1, 2, 3].map((n) => ({ isError: true, n }));
    let calls = 0;
    expect(await retry(() => results[calls++], soon, { idempotent: true })).toBe(results[2]);
  });

  it("calls once with maxRetries 0, and takes synchronous functions and sync throws", async () => {
    let calls = 0;
    const fn = () => {
      calls++;
      throw new Error("no");
    };
    await expect(retry(fn, { maxRetries: 0 }, { idempotent: true })).rejects.toThrow("no");
    expect(calls).toBe(1);
    expect(await retry(() => 7, {})).toBe(7);
  });

  it("costs no timer and no listener when the first attempt succeeds, and needs no policy", async () => {
    const { clock } = fakeTime();
    let timers = 0;
    const counted = {
      now: clock.now,
      setTimer: (callback: () => void, ms: number) => {
        timers++;
        return clock.setTimer(callback, ms);
      },
    };
    const retrier = createRetrier({ overrides: { t: { maxRetries: 1 } } }, { clock: counted });
    const seen: Attempt[] = [];
    await retrier.retry((attempt) => seen.push(attempt), { name: "t", idempotent: true });
    expect(timers).toBe(0);
    expect(seen).toEqual([{ number: 1, hedge: false }]);
    expect(await retry(() => "done")).toBe("done");
  });

  it("starts at once: the function is called before retry() returns", () => {
    let called = false;
    void createRetrier().retry(() => {
      called = true;
    });
    expect(called).toBe(true);
  });

  it("passes a TypeError of the program on at once", async () => {
    const { fn, seen } = failing(1, () => new TypeError("x is not a function"));
    await expect(retry(fn, soon, { idempotent: true })).rejects.toThrow(TypeError);
    expect(seen).toHaveLength(1);
  });

  it("shares one budget among all calls under the same policy object", async () => {
    const policy: RetryPolicyInput = { ...soon, budget: { ratio: 0, floorPerSecond: 1 } };
    const first = failing(1);
    expect(await retry(first.fn, policy, { idempotent: true })).toBe("done");
    const second = failing(1);
    await expect(retry(second.fn, policy, { idempotent: true })).rejects.toThrow("no 1");
  });

  it("refuses an invalid policy before anything is called", () => {
    const { fn, seen } = failing(0);
    expect(() => retry(fn, { maxRetries: -1 })).toThrow(/maxRetries/);
    expect(seen).toHaveLength(0);
  });
});

describe("createRetrier", () => {
  it("RB-5 parallel calls of the same tool count their attempts apart", async () => {
    const retrier = createRetrier({ ...soon, budget: false });
    const calls = Array.from({ length: 50 }, () => failing(2));
    const values = await Promise.all(
      calls.map(({ fn }) => retrier.retry(fn, { name: "t", idempotent: true })),
    );
    expect(values).toEqual(Array(50).fill("done"));
    for (const { seen } of calls) expect(seen.map((a) => a.number)).toEqual([1, 2, 3]);
  });

  it("RB-6 a 429 with Retry-After waits as long as asked, an HTTP-date is honoured", async () => {
    const { clock, fake } = fakeTime();
    const retrier = createRetrier(soon, { clock });
    const refusal = (headers: Record<string, string>) =>
      Object.assign(new Error("slow down"), { status: 429, headers });
    const first = failing(1, () => refusal({ "Retry-After": "2" }));
    const done = retrier.retry(first.fn);
    await fake.advance(1_999);
    expect(first.seen).toHaveLength(1);
    await fake.advance(1);
    expect(await done).toBe("done");
    const date = new Date(Date.now() + 5_000).toUTCString();
    const delays: number[] = [];
    const dated = failing(1, () => refusal({ "retry-after": date }));
    const later = retrier.retry(dated.fn, { onDecision: (d) => d.retry && delays.push(d.delayMs) });
    await fake.advance(6_000);
    expect(await later).toBe("done");
    expect(delays[0]).toBeGreaterThan(3_000);
    expect(delays[0]).toBeLessThanOrEqual(5_000);
  });

  it("RB-6 a Retry-After of an hour gives up at once with the reason and the error unchanged", async () => {
    const refusal = Object.assign(new Error("later"), {
      status: 429,
      headers: new Headers({ "retry-after": "3600" }),
    });
    const retrier = createRetrier(soon);
    const { fn, seen } = failing(9, () => refusal);
    await expect(retrier.retry(fn)).rejects.toBe(refusal);
    expect(seen).toHaveLength(1);
    expect(retrier.stats().giveUps).toEqual({ retry_after_exceeds_cap: 1 });
  });

  it("RB-7 a thousand failing calls make no more than 1.2 times as many attempts", async () => {
    const budget = { ratio: 0.2, floorPerSecond: 0, burst: 10 };
    const retrier = createRetrier({ ...soon, maxRetries: 3, budget });
    let attempts = 0;
    const fn = () => {
      attempts++;
      throw new Error("no");
    };
    for (let i = 0; i < 1_000; i++) await retrier.retry(fn, { idempotent: true }).catch(() => {});
    expect(attempts).toBeLessThanOrEqual(1_210);
    expect(attempts).toBeGreaterThan(1_150);
    expect(retrier.stats().giveUps.budget_exhausted).toBeGreaterThan(0);
  });

  it("RB-9 within a deadline of 1 s, attempts of 400 ms and delays of 500 ms make two attempts and end by 1 s", async () => {
    const { clock, fake } = fakeTime();
    const retrier = createRetrier(
      { jitter: "none", baseMs: 500, maxMs: 500, maxRetries: 5, totalDeadlineMs: 1_000, minAttemptMs: 50 },
      { clock },
    );
    const seen: Array<{ number: number; left: number | undefined; at: number }> = [];
    const call = retrier
      .retry(
        async ({ number, remainingMs, signal }) => {
          seen.push({ number, left: remainingMs, at: clock.now() });
          await fake.sleep(400, signal ? { signal } : {});
          throw new Error("no");
        },
        { idempotent: true },
      )
      .catch((error: unknown) => ({ error, at: clock.now() }));
    await fake.advance(2_000);
    const ended = (await call) as { error: RetryError; at: number };
    expect(seen).toEqual([
      { number: 1, left: 1_000, at: 0 },
      { number: 2, left: 100, at: 900 },
    ]);
    expect(ended.at).toBe(1_000);
    expect(ended.error).toMatchObject({ code: "deadline", details: { outcomeUnknown: true } });
    expect((ended.error.cause as Error).message).toBe("no");
  });

  it("starts no further attempt with less than minAttemptMs left and then ends with the last error", async () => {
    const { clock, fake } = fakeTime();
    const retrier = createRetrier({ ...soon, minAttemptMs: 200 }, { clock });
    const { fn, seen } = failing(5);
    await expect(retrier.retry(fn, { deadline: 200, idempotent: true })).rejects.toThrow("no 1");
    expect(seen).toHaveLength(1);
    expect(retrier.stats().giveUps).toEqual({ deadline: 1 });
    expect(fake.pendingTimers).toBe(0);
  });

  it("makes no attempt at all when the deadline has passed or is too near, and says that nothing was sent", async () => {
    const { clock, fake } = fakeTime();
    await fake.advance(1_000);
    const done: unknown[] = [];
    const retrier = createRetrier(soon, { clock, observer: { onDone: (info) => done.push(info) } });
    const { fn, seen } = failing(0);
    for (const deadline of [-5, 0, 1_000, 1_009]) {
      await expect(retrier.retry(fn, { deadline, name: "t" })).rejects.toMatchObject({
        code: "deadline",
        details: { outcomeUnknown: false },
      });
    }
    expect(seen).toHaveLength(0);
    expect(retrier.stats().giveUps).toEqual({ deadline: 4 });
    expect(done).toEqual(Array(4).fill({ name: "t", attempts: 0, ok: false }));
    expect(await retrier.retry(fn, { deadline: 1_010 })).toBe("done");
  });

  it("a timer that comes late does not start an attempt after the deadline", async () => {
    let now = 0;
    // Every timer comes 500 ms late.
    const late = (callback: () => void, ms: number) => {
      queueMicrotask(() => {
        now += ms + 500;
        callback();
      });
      return () => {};
    };
    const retrier = createRetrier(soon, {
      clock: { now: () => now, setTimer: (c, ms) => (ms < 10 ? late(c, ms) : () => {}) },
    });
    const { fn, seen } = failing(5);
    await expect(retrier.retry(fn, { deadline: 300, idempotent: true })).rejects.toThrow("no 1");
    expect(seen).toHaveLength(1);
    expect(retrier.stats().giveUps).toEqual({ deadline: 1 });
  });

  it("an attempt follows a clipped sleep, though timers come a little late", async () => {
    let now = 0;
    const setTimer = (callback: () => void, ms: number) => {
      const timer = setImmediate(() => {
        now += ms + 1;
        callback();
      });
      return () => clearImmediate(timer);
    };
    const retrier = createRetrier(
      { jitter: "none", baseMs: 5_000, totalDeadlineMs: 300, minAttemptMs: 100 },
      { clock: { now: () => now, setTimer } },
    );
    const { fn, seen } = failing(5);
    await expect(retrier.retry(fn, { idempotent: true })).rejects.toThrow("no 2");
    expect(seen.map(({ remainingMs }) => remainingMs)).toEqual([300, 101]);
  });

  it("a clock that steps back loses no call", async () => {
    let now = 1_000;
    const clock = {
      now: () => now,
      setTimer: (callback: () => void) => {
        const timer = setTimeout(callback, 1);
        return () => clearTimeout(timer);
      },
    };
    const retrier = createRetrier({ ...soon, totalDeadlineMs: 100 }, { clock });
    const { fn, seen } = failing(2);
    const stepping = (attempt: Attempt) => {
      now -= 400;
      return fn(attempt);
    };
    expect(await retrier.retry(stepping, { idempotent: true })).toBe("done");
    expect(seen).toHaveLength(3);
  });

  it("takes the earlier of the caller's deadline and the policy's", async () => {
    const { clock } = fakeTime();
    const retrier = createRetrier({ totalDeadlineMs: 300 }, { clock });
    expect(await retrier.retry(({ remainingMs }) => remainingMs, { deadline: 100 })).toBe(100);
    expect(await retrier.retry(({ remainingMs }) => remainingMs, { deadline: 900 })).toBe(300);
  });

  it("cuts an attempt at attemptTimeoutMs, tells it by its signal, and repeats it where that is safe", async () => {
    const { clock, fake } = fakeTime();
    const retrier = createRetrier({ ...soon, attemptTimeoutMs: 100 }, { clock });
    const signals: AbortSignal[] = [];
    const call = retrier.retry(
      ({ number, signal, remainingMs }) => {
        if (signal) signals.push(signal);
        return number === 1 ? new Promise<string>(() => {}) : `left ${remainingMs}`;
      },
      { idempotent: true },
    );
    await fake.advance(200);
    expect(await call).toBe("left 100");
    expect(signals[0]?.reason).toMatchObject({ code: "attempt_timeout", retryable: true });
    expect(fake.pendingTimers).toBe(0);
  });

  it("RB-10 says that the outcome is unknown when a sent call may not be repeated", async () => {
    const reset = Object.assign(new Error("reset"), { code: "ECONNRESET" });
    const { fn, seen } = failing(5, () => reset);
    const caught = await retry(fn, soon).catch((error: unknown) => error);
    expect(seen).toHaveLength(1);
    expect(caught).toMatchObject({
      code: "outcome_unknown",
      retryable: false,
      details: { reason: "unsafe_to_repeat" },
    });
    expect((caught as RetryError).cause).toBe(reset);
    expect(RetryError.is(caught)).toBe(true);
  });

  it("RB-10 repeats a refused connection without any hint", async () => {
    const refused = Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNREFUSED" } });
    const { fn, seen } = failing(1, () => refused);
    expect(await retry(fn, soon)).toBe("done");
    expect(seen).toHaveLength(2);
  });

  it("mints one idempotency key for all attempts where the server honours keys, and keeps the client's own", async () => {
    const reset = () => Object.assign(new Error("reset"), { code: "ECONNRESET" });
    const minted = failing(2, reset);
    expect(await retry(minted.fn, soon, { serverHonoursKeys: true })).toBe("done");
    const keys = new Set(minted.seen.map((a) => a.idempotencyKey));
    expect(keys.size).toBe(1);
    expect([...keys][0]).toMatch(/^[0-9a-f-]{36}$/);
    const own = failing(1, reset);
    await retry(own.fn, soon, { idempotencyKey: "mine", serverHonoursKeys: true });
    expect(own.seen.map((a) => a.idempotencyKey)).toEqual(["mine", "mine"]);
    const none = failing(0);
    await retry(none.fn, soon);
    expect(none.seen[0]?.idempotencyKey).toBeUndefined();
  });

  it("an inner retry layer that is told of the outer attempt makes one call", async () => {
    const inner = failing(9);
    const outerCalls: number[] = [];
    const outer = createRetrier(soon);
    const layered = outer.retry(
      (attempt) => {
        outerCalls.push(attempt.number);
        return outer.retry(inner.fn, { idempotent: true, within: attempt });
      },
      { idempotent: true },
    );
    await expect(layered).rejects.toThrow("no 3");
    expect(outerCalls).toEqual([1, 2, 3]);
    expect(inner.seen).toHaveLength(3);
    expect(outer.stats().giveUps.nested).toBe(3);
  });

  it("an open breaker stops the retries", async () => {
    const { fn, seen } = failing(5);
    const open = retry(fn, soon, { idempotent: true, circuitOpen: () => true });
    await expect(open).rejects.toThrow("no 1");
    expect(seen).toHaveLength(1);
  });

  it("uses the override of the named tool", async () => {
    const retrier = createRetrier({ ...soon, overrides: { "write_*": { maxRetries: 0 } } });
    const { fn, seen } = failing(5);
    await expect(retrier.retry(fn, { name: "write_file", idempotent: true })).rejects.toThrow("no 1");
    expect(seen).toHaveLength(1);
  });

  it("reads errors with the caller's own classifier", async () => {
    const { fn } = failing(1, () => "a string");
    const classify = () => ({ kind: "error", code: "x", phase: "not_sent" }) as const;
    expect(await retry(fn, soon, { classify })).toBe("done");
  });

  it("feeds decorrelated jitter its previous delay", async () => {
    const { clock, fake } = fakeTime();
    const retrier = createRetrier(
      { jitter: "decorrelated", baseMs: 100, maxMs: 100_000, maxRetries: 3 },
      { clock, random: () => 0.999999 },
    );
    const delays: number[] = [];
    const { fn } = failing(3);
    const call = retrier.retry(fn, {
      idempotent: true,
      onDecision: (d) => d.retry && delays.push(d.delayMs),
    });
    await fake.advance(10_000);
    await call;
    expect(delays).toEqual([300, 900, 2_700]);
  });

  it("asks an injected budget and waits for its answer", async () => {
    let deposits = 0;
    const budget = {
      deposit: () => void deposits++,
      withdraw: async () => ({ granted: deposits < 2, remaining: 0 }),
    };
    const retrier = createRetrier(soon, { budget });
    expect(await retrier.retry(failing(1).fn, { idempotent: true })).toBe("done");
    await expect(retrier.retry(failing(1).fn, { idempotent: true })).rejects.toThrow("no 1");
    expect(deposits).toBe(2);
  });

  it("a budget that fails grants nothing, and the call ends with its own error", async () => {
    const broken = () => {
      throw new Error("budget");
    };
    for (const withdraw of [broken, async () => broken()]) {
      const retrier = createRetrier(soon, { budget: { deposit: broken, withdraw } });
      const { fn, seen } = failing(5);
      await expect(retrier.retry(fn, { idempotent: true })).rejects.toThrow("no 1");
      expect(seen).toHaveLength(1);
      expect(retrier.stats().giveUps).toEqual({ budget_exhausted: 1 });
    }
  });

  it("hands a hostile error back unchanged: proxies that throw, revoked ones, frozen ones, no errors at all", async () => {
    const trap = () => {
      throw new Error("trap");
    };
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    const hostile = new Proxy({}, { get: trap, has: trap, getPrototypeOf: trap, ownKeys: trap });
    for (const thrown of [
      hostile,
      revoked.proxy,
      Object.freeze({ status: 400 }),
      0,
      "",
      undefined,
      null,
      Symbol("x"),
    ]) {
      const run = retry(
        () => Promise.reject(thrown),
        { ...soon, maxRetries: 1, attemptTimeoutMs: 1_000 },
        { idempotent: true },
      );
      expect(
        await run.then(
          () => "answered",
          (error) => Object.is(error, thrown),
        ),
      ).toBe(true);
    }
  });

  it("hands a hostile result back unchanged", async () => {
    const trap = () => {
      throw new Error("trap");
    };
    const hostile = new Proxy({}, { get: (_, key) => (key === "then" ? undefined : trap()) });
    expect(Object.is(await retry(() => hostile, soon, { idempotent: true }), hostile)).toBe(true);
    const frozen = Object.freeze({ isError: true });
    expect(await retry(() => frozen, soon, { idempotent: true })).toBe(frozen);
  });

  it("an abort of a sleep is told to whoever hears decisions, too", async () => {
    const retrier = createRetrier({ jitter: "none", baseMs: 60_000, maxMs: 60_000 });
    const control = new AbortController();
    const heard: string[] = [];
    const call = retrier.retry(failing(1).fn, {
      idempotent: true,
      signal: control.signal,
      onDecision: ({ reason }) => heard.push(reason),
    });
    await eventually(() => retrier.stats().sleeping === 1);
    control.abort(new Error("gone"));
    await expect(call).rejects.toThrow("gone");
    expect(heard).toEqual(["exception", "aborted"]);
  });

  it("a success is a decision that is heard, at once or after a repeat", async () => {
    const retrier = createRetrier(soon);
    for (const signal of [undefined, new AbortController().signal]) {
      for (const [failures, reasons] of [
        [0, ["success"]],
        [1, ["exception", "success"]],
      ] as const) {
        const heard: unknown[] = [];
        await retrier.retry(failing(failures).fn, {
          idempotent: true,
          signal,
          onDecision: ({ reason }, outcome) => heard.push([reason, outcome.kind]),
        });
        expect(heard).toEqual(reasons.map((reason) => [reason, reason === "success" ? "result" : "error"]));
      }
    }
  });

  it("tells its observer of retries, give-ups and ends, and ignores one that throws", async () => {
    const events: unknown[] = [];
    const observer = {
      onRetry: (d: { reason: string }, i: object) => events.push(["retry", d.reason, i]),
      onGiveUp: (d: { reason: string }, i: object) => events.push(["give up", d.reason, i]),
      onDone: (i: object) => events.push(["done", i]),
    };
    const retrier = createRetrier({ ...soon, maxRetries: 1 }, { observer });
    await retrier.retry(failing(0).fn, { name: "t" });
    await retrier.retry(failing(5).fn, { name: "t", idempotent: true }).catch(() => {});
    expect(events).toEqual([
      ["done", { name: "t", attempts: 1, ok: true }],
      ["retry", "exception", { name: "t", attempts: 1 }],
      ["give up", "max_retries", { name: "t", attempts: 2 }],
      ["done", { name: "t", attempts: 2, ok: false }],
    ]);
    const rude = () => {
      throw new Error("observer");
    };
    const careless = createRetrier(soon, { observer: { onRetry: rude, onGiveUp: rude, onDone: rude } });
    expect(await careless.retry(failing(1).fn, { idempotent: true, onDecision: rude })).toBe("done");
    expect(await careless.retry(failing(0).fn)).toBe("done");
    expect(careless.stats()).toMatchObject({ calls: 2, retries: 1, sleeping: 0 });
  });
});

describe("abort", () => {
  it("ends a sleep of 5 s at once, makes no further call and frees its state", async () => {
    const retrier = createRetrier({ jitter: "none", baseMs: 5_000 });
    const controller = new AbortController();
    const { fn, seen } = failing(5);
    const call = retrier.retry(fn, { idempotent: true, signal: controller.signal }).catch((e: unknown) => e);
    await eventually(() => retrier.stats().sleeping === 1);
    const reason = new Error("client went away");
    const started = performance.now();
    controller.abort(reason);
    expect(await call).toBe(reason);
    expect(performance.now() - started).toBeLessThan(2_500);
    expect(seen).toHaveLength(1);
    expect(retrier.stats()).toMatchObject({ sleeping: 0, giveUps: { aborted: 1 } });
  });

  it("settles during an attempt that does not listen, and makes no further call", async () => {
    const retrier = createRetrier(soon);
    const controller = new AbortController();
    let calls = 0;
    const call = retrier.retry(
      () => {
        calls++;
        return new Promise<never>(() => {});
      },
      { idempotent: true, signal: controller.signal },
    );
    await eventually(() => calls === 1);
    controller.abort(new Error("gone"));
    await expect(call).rejects.toThrow("gone");
    expect(calls).toBe(1);
    expect(retrier.stats().giveUps).toEqual({ aborted: 1 });
  });

  it("calls nothing when the signal fired before", async () => {
    const { fn, seen } = failing(0);
    await expect(retry(fn, soon, { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow(
      "before",
    );
    expect(seen).toHaveLength(0);
  });

  it("leaves no timer and no waiter behind after 100 000 aborted calls", async () => {
    const { clock, fake } = fakeTime();
    const retrier = createRetrier({ jitter: "none", budget: false }, { clock });
    const error = new Error("no");
    const fail = () => {
      throw error;
    };
    // Ten times 10 000, as keeping 100 000 errors at once would mostly measure the garbage collector.
    for (let round = 1; round <= 10; round++) {
      const controllers = Array.from({ length: 100 }, () => new AbortController());
      const calls = controllers.flatMap(({ signal }) =>
        Array.from({ length: 100 }, () =>
          retrier.retry(fail, { idempotent: true, signal }).catch(() => "aborted"),
        ),
      );
      await eventually(() => retrier.stats().sleeping === 10_000);
      for (const controller of controllers) controller.abort();
      expect(new Set(await Promise.all(calls))).toEqual(new Set(["aborted"]));
      expect(retrier.stats()).toMatchObject({ sleeping: 0, giveUps: { aborted: round * 10_000 } });
      expect(fake.pendingTimers).toBe(0);
    }
  });
});

describe("stop", () => {
  it("RB-13 during backoffs all calls settle with shutdown and no timer is left", async () => {
    const { clock, fake } = fakeTime();
    const retrier = createRetrier({ jitter: "none", baseMs: 5_000, budget: false }, { clock });
    const calls = Array.from({ length: 20 }, (_, i) =>
      retrier.retry(failing(9, () => new Error(`no ${i}`)).fn, { idempotent: true }).catch((e: unknown) => e),
    );
    await eventually(() => retrier.stats().sleeping === 20);
    retrier.stop();
    retrier.stop();
    for (const [i, caught] of (await Promise.all(calls)).entries()) {
      expect(caught).toMatchObject({ code: "shutdown" });
      expect(((caught as RetryError).cause as Error).message).toBe(`no ${i}`);
    }
    expect(fake.pendingTimers).toBe(0);
    expect(retrier.stats().giveUps).toEqual({ shutdown: 20 });
  });

  it("RB-13 refuses new calls and lets running attempts finish without a further one", async () => {
    const retrier = createRetrier(soon);
    const { promise, reject } = Promise.withResolvers<never>();
    let started = false;
    const running = retrier.retry(
      () => {
        started = true;
        return promise;
      },
      { idempotent: true },
    );
    await eventually(() => started);
    retrier.stop();
    reject(new Error("late"));
    await expect(running).rejects.toMatchObject({ code: "shutdown", cause: { message: "late" } });
    await expect(retrier.retry(() => 1)).rejects.toMatchObject({ code: "shutdown" });
  });
});

it("never makes more attempts than the policy allows, nor after a success", async () => {
  const outcomes = fc.array(fc.constantFrom("ok", "busy", "reset", "bug"), { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(outcomes, fc.nat(4), fc.boolean(), async (plan, maxRetries, safe) => {
      const made: string[] = [];
      const fn = () => {
        const next = plan[made.length] ?? "ok";
        made.push(next);
        if (next === "busy") throw Object.assign(new Error("busy"), { status: 503 });
        if (next === "reset") throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
        if (next === "bug") throw new TypeError("bug");
        return "ok";
      };
      const policy = { ...soon, maxRetries, budget: false } as const;
      const ok = await retry(fn, policy, { idempotent: safe }).then(
        () => true,
        () => false,
      );
      const before = made.slice(0, -1);
      expect(made.length).toBeLessThanOrEqual(maxRetries + 1);
      expect(before.every((name) => name === "busy" || (safe && name === "reset"))).toBe(true);
      expect(ok).toBe(made.at(-1) === "ok");
    }),
    { numRuns: 200 },
  );
});

it("a seeded run is the same run twice", async () => {
  const delays = async () => {
    const { clock, fake } = fakeTime();
    const retrier = createRetrier(
      { maxRetries: 5 },
      { clock, random: seededRandom(7), budget: createBudget() },
    );
    const drawn: number[] = [];
    const call = retrier.retry(failing(5).fn, {
      idempotent: true,
      onDecision: (d) => d.retry && drawn.push(d.delayMs),
    });
    await fake.advance(60_000);
    await call;
    return drawn;
  };
  expect(await delays()).toEqual(await delays());
});
