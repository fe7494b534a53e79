import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { type BudgetVerdict, createRetrier, type Decision, type RetryPolicyInput } from "../src/index.ts";
import { fakeTime } from "./helpers.ts";

/** A retrier on a fake clock whose budget answers when it is told to. */
function slowly(policy: RetryPolicyInput) {
  const { clock, fake } = fakeTime();
  const asked: ((verdict: BudgetVerdict) => void)[] = [];
  const budget = {
    deposit() {},
    withdraw: () => new Promise<BudgetVerdict>((answer) => void asked.push(answer)),
  };
  const decisions: Decision[] = [];
  let attempts = 0;
  const retrier = createRetrier({ jitter: "none", ...policy }, { clock, budget });
  const call = (signal?: AbortSignal, retryAfterMs = 0) =>
    retrier
      .retry(
        () => {
          attempts++;
          throw Object.assign(new Error("busy"), { httpStatus: 503, retryAfterMs });
        },
        { signal, onDecision: (decision) => void decisions.push(decision) },
      )
      .catch((error: unknown) => error);
  const grant = () => asked.shift()?.({ granted: true, remaining: 1 });
  return { fake, asked, decisions, retrier, call, grant, attempts: () => attempts };
}

describe("a budget that answers later", () => {
  it("RB-9 is waited for no longer than the deadline leaves room for an attempt", async () => {
    const { call, fake, asked, decisions, grant, attempts } = slowly({ totalDeadlineMs: 1_000, baseMs: 100 });
    const ended = call();
    await eventually(() => asked.length === 1);
    await fake.advance(1_000);
    expect(await ended).toMatchObject({ message: "busy" });
    expect(decisions).toMatchObject([{ retry: false, reason: "deadline", failure: "http_status" }]);
    grant();
    expect([attempts(), fake.pendingTimers]).toEqual([1, 0]);
  });

  it("RB-9 leaves a sleep that is clipped to the time which is left then, and none where the server asked for more", async () => {
    const clipped = slowly({ totalDeadlineMs: 1_000, baseMs: 900, maxMs: 900, maxRetries: 1 });
    const ended = clipped.call();
    await eventually(() => clipped.asked.length === 1);
    await clipped.fake.advance(500);
    clipped.grant();
    await eventually(() => clipped.decisions.length === 1);
    expect(clipped.decisions).toMatchObject([{ retry: true, delayMs: 488 }]);
    await clipped.fake.advance(488);
    await ended;
    expect(clipped.attempts()).toBe(2);

    const later = slowly({ totalDeadlineMs: 1_000, baseMs: 1 });
    const refused = later.call(undefined, 700);
    await eventually(() => later.asked.length === 1);
    await later.fake.advance(500);
    later.grant();
    await refused;
    expect(later.decisions).toMatchObject([{ retry: false, reason: "deadline" }]);
  });

  it("RB-13 is waited for no longer once the caller aborts or the retrier stops", async () => {
    const aborted = slowly({ baseMs: 100 });
    const controller = new AbortController();
    const gone = aborted.call(controller.signal);
    await eventually(() => aborted.asked.length === 1);
    controller.abort("gone");
    expect(await gone).toBe("gone");
    expect(aborted.retrier.stats()).toMatchObject({ sleeping: 0, giveUps: { aborted: 1 } });

    const stopped = slowly({ baseMs: 100 });
    const over = stopped.call();
    await eventually(() => stopped.asked.length === 1);
    stopped.retrier.stop();
    expect(await over).toMatchObject({ code: "shutdown", cause: { message: "busy" } });
    expect(stopped.fake.pendingTimers).toBe(0);
  });
});

it.each(["onDecision", "onRetry"])(
  "RB-13 a retrier that is stopped by who hears %s makes no further attempt",
  async (hook) => {
    const { clock, fake } = fakeTime();
    const stop = () => retrier.stop();
    const observer = hook === "onRetry" ? { onRetry: stop } : {};
    const retrier = createRetrier({ jitter: "none", baseMs: 5_000 }, { clock, observer });
    let attempts = 0;
    const fn = () => {
      attempts++;
      throw Object.assign(new Error("busy"), { status: 503 });
    };
    const options = hook === "onDecision" ? { onDecision: stop } : {};
    await expect(retrier.retry(fn, options)).rejects.toMatchObject({ code: "shutdown" });
    expect([attempts, fake.pendingTimers]).toEqual([1, 0]);
  },
);
