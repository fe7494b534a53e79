import { GatewayError } from "../errors.ts";

/** Most subscriptions to resources in this process, and most of one user. */
const maxSubscriptions = 50_000;
const maxPerUser = 5_000;

/**
 * Counts the subscriptions to resources, whatever listens: an upstream is asked for all of them at once, anew with each
 * one more.
 */
export class SubscriptionBounds {
  readonly #perUser = new Map<string, number>();
  #all = 0;

  /**
   * Counts some in; the returned function counts them out again, once.
   *
   * @param user the key of a principal
   * @throws {GatewayError} `overloaded` when there are too many
   */
  take(user: string, count: number): () => void {
    if (count === 0) return () => undefined;
    const own = (this.#perUser.get(user) ?? 0) + count;
    if (own > maxPerUser) throw refusal("too many resources are subscribed to by this user");
    if (this.#all + count > maxSubscriptions) throw refusal("too many resources are subscribed to");
    this.#perUser.set(user, own);
    this.#all += count;
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      this.#all -= count;
      const left = (this.#perUser.get(user) ?? 0) - count;
      if (left > 0) this.#perUser.set(user, left);
      else this.#perUser.delete(user);
    };
  }
}

function refusal(text: string): GatewayError {
  return new GatewayError("overloaded", text, { retryAfterMs: 5_000 });
}
