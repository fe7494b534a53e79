import { isRateLimiterError, RateLimiterError } from "@gatewright/rate-limiter";
import { expect, it } from "vitest";
import { Breaker } from "../src/guard/breaker.ts";
import { notify } from "../src/observer.ts";

it("an error of another copy of the package is recognised by its brand", () => {
  const other = Object.assign(new Error("x"), { [Symbol.for("gatewright.rate-limiter.error")]: true });
  expect(isRateLimiterError(other)).toBe(true);
  expect(isRateLimiterError(null)).toBe(false);
  const own = new RateLimiterError("backend_unavailable", "gone", { cause: other });
  expect(own).toMatchObject({ code: "backend_unavailable", retryable: true, cause: other, details: {} });
  expect(JSON.stringify(own)).not.toContain("Symbol");
});

it("a breaker counts failures in a row alone, and probes once at a time", async () => {
  let now = 0;
  const states: string[] = [];
  const breaker = new Breaker(
    { failures: 2, openMs: 10 },
    () => now,
    (state) => states.push(state),
  );
  let probes = 0;
  const probe = async () => {
    probes++;
  };
  breaker.failed();
  breaker.succeeded();
  breaker.failed();
  expect(breaker.admits(probe)).toBe(true);
  breaker.failed();
  breaker.failed();
  expect(breaker.admits(probe)).toBe(false);
  now = 10;
  expect([breaker.admits(probe), breaker.admits(probe)]).toEqual([false, false]);
  expect(probes).toBe(1);
  await Promise.resolve();
  await Promise.resolve();
  expect(breaker.admits(probe)).toBe(true);
  expect(states).toEqual(["open", "half_open", "closed"]);
  notify(() => {
    throw new Error("an observer's own");
  });
});
