import type { AttemptFunction } from "./attempt.ts";
import type { RetryPolicy, RetryPolicyInput } from "./policy.ts";
import { createRetrier, type Retrier, type RetryOptions } from "./retrier.ts";

const defaults: RetryPolicyInput = {};
const retriers = new WeakMap<object, Retrier>();

/**
 * Calls `fn` until it succeeds or the policy says to stop. The same policy object always shares one budget;
 * it is read once, so keep it in a constant and do not change it. Use `createRetrier` to stop, count,
 * observe, or bring a clock or budget.
 *
 * @throws RetryError `invalid_policy`, and what {@link Retrier.retry} says.
 */
export function retry<T>(
  fn: AttemptFunction<T>,
  policy: RetryPolicyInput | RetryPolicy = defaults,
  options?: RetryOptions,
): Promise<T> {
  let retrier = retriers.get(policy);
  if (retrier === undefined) {
    retrier = createRetrier(policy);
    retriers.set(policy, retrier);
  }
  return retrier.retry(fn, options);
}
