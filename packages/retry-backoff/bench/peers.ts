import { ConfiguredRetryStrategy } from "@smithy/util-retry";
// @ts-expect-error async-retry brings no types
import asyncRetry from "async-retry";
import { ConstantBackoff, retry as cockatielRetry, handleAll } from "cockatiel";
// @ts-expect-error opossum brings no types
import CircuitBreaker from "opossum";
import pRetry from "p-retry";

/** A function that is retried. */
export type Work = () => Promise<unknown>;

/** The same retry, two more attempts after 0 to 1 ms, in each known library. */
export function peersFor(work: Work): Record<string, () => Promise<unknown>> {
  const cockatiel = cockatielRetry(handleAll, { maxAttempts: 2, backoff: new ConstantBackoff(1) });
  const breaker = new CircuitBreaker(work, { timeout: false });
  const strategy = new ConfiguredRetryStrategy(3, () => 1);
  const smithy = async () => {
    let token = await strategy.acquireInitialRetryToken("bench");
    for (;;) {
      try {
        const value = await work();
        strategy.recordSuccess(token);
        return value;
      } catch (error) {
        token = await strategy.refreshRetryTokenForRetry(token, {
          errorType: "TRANSIENT",
          error: error as never,
        });
        await new Promise((resolve) => setTimeout(resolve, token.getRetryDelay()));
      }
    }
  };
  return {
    cockatiel: () => cockatiel.execute(work),
    "p-retry": () => pRetry(work, { retries: 2, minTimeout: 1, maxTimeout: 1, factor: 1 }),
    "async-retry": () => asyncRetry(work, { retries: 2, minTimeout: 1, maxTimeout: 1, factor: 1 }),
    opossum: () => breaker.fire(),
    "@smithy/util-retry": smithy,
  };
}
