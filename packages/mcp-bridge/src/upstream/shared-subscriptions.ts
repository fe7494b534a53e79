import { endsPart } from "../part-of-resource.ts";
import type { UpstreamAnswer } from "./answer.ts";
import { localResult } from "./local-answer.ts";
import type { UpstreamMessage, UpstreamRequest } from "./upstream.ts";

/** One resource that is subscribed to. */
interface Subscription {
  /** Who wants to hear of it, each with the request by which it began. */
  readonly holders: Map<object, object>;
  /** Whether the server may have taken it from anybody. */
  taken: boolean;
}

/**
 * Who subscribed to which resource where several sessions share one connection, of which the server knows no more than
 * that it subscribed. Each is told of its own resources alone, and one that unsubscribes, or ends, takes none from others.
 */
export class SharedSubscriptions {
  readonly #unsubscribe: (uri: string) => void;
  readonly #subscriptions = new Map<string, Subscription>();
  /** How many of their URIs are of which length. */
  readonly #lengths = new Map<number, number>();

  /** @param unsubscribe tells the server that nobody wants to hear of a resource any more; must not throw */
  constructor(unsubscribe: (uri: string) => void) {
    this.#unsubscribe = unsubscribe;
  }

  /** Whether a request begins or ends a subscription. */
  concerns({ method }: UpstreamRequest): boolean {
    return method === "resources/subscribe" || method === "resources/unsubscribe";
  }

  /** Sends such a request of a session, or answers it, where others have the same resource. */
  request(
    holder: object,
    { method, params }: UpstreamRequest,
    send: () => Promise<UpstreamAnswer>,
  ): Promise<UpstreamAnswer> {
    const uri = uriOf(params);
    if (uri === undefined) return send();
    return method === "resources/subscribe" ? this.#begin(holder, uri, send) : this.#end(holder, uri, send);
  }

  /** Whether a session is to hear a message. */
  isFor(holder: object, { method, params }: UpstreamMessage): boolean {
    if (method !== "notifications/resources/updated") return true;
    const uri = params?.["uri"];
    if (typeof uri !== "string") return false;
    for (const length of this.#lengths.keys()) {
      if (!endsPart(uri, length)) continue;
      if (this.#subscriptions.get(uri.slice(0, length))?.holders.has(holder) === true) return true;
    }
    return false;
  }

  /** A session has ended. */
  leave(holder: object): void {
    for (const [uri, subscription] of this.#subscriptions) {
      if (!subscription.holders.has(holder)) continue;
      // It may be being asked for.
      subscription.taken = true;
      this.#drop(holder, uri);
    }
  }

  async #begin(holder: object, uri: string, send: () => Promise<UpstreamAnswer>): Promise<UpstreamAnswer> {
    const subscription = this.#of(uri);
    // What becomes of a second request changes nothing about the first.
    const request = subscription.holders.get(holder) === undefined ? {} : undefined;
    // Before the answer: whoever unsubscribes meanwhile must not take it away.
    if (request !== undefined) subscription.holders.set(holder, request);
    try {
      const answer = await send();
      if (answer.kind === "result") subscription.taken = true;
      else if (request !== undefined) this.#drop(holder, uri, request);
      return answer;
    } catch (error) {
      subscription.taken = true;
      if (request !== undefined) this.#drop(holder, uri, request);
      throw error;
    }
  }

  async #end(holder: object, uri: string, send: () => Promise<UpstreamAnswer>): Promise<UpstreamAnswer> {
    const holders = this.#subscriptions.get(uri)?.holders;
    holders?.delete(holder);
    if (holders !== undefined && holders.size > 0) return localResult("{}");
    this.#forget(uri);
    return send();
  }

  /** Takes a subscription from a session, where it is still the one that a request began. */
  #drop(holder: object, uri: string, request?: object): void {
    const subscription = this.#subscriptions.get(uri);
    const own = subscription?.holders.get(holder);
    if (subscription === undefined || own === undefined) return;
    if (request !== undefined && own !== request) return;
    subscription.holders.delete(holder);
    if (subscription.holders.size > 0) return;
    this.#forget(uri);
    if (subscription.taken) this.#unsubscribe(uri);
  }

  #of(uri: string): Subscription {
    const known = this.#subscriptions.get(uri);
    if (known !== undefined) return known;
    const made = { holders: new Map<object, object>(), taken: false };
    this.#subscriptions.set(uri, made);
    this.#lengths.set(uri.length, (this.#lengths.get(uri.length) ?? 0) + 1);
    return made;
  }

  #forget(uri: string): void {
    if (!this.#subscriptions.delete(uri)) return;
    const left = (this.#lengths.get(uri.length) ?? 0) - 1;
    if (left > 0) this.#lengths.set(uri.length, left);
    else this.#lengths.delete(uri.length);
  }
}

/** The resource that params name; nothing when they name none. */
function uriOf(params: UpstreamRequest["params"]): string | undefined {
  try {
    const { uri } = JSON.parse(String(params)) as { readonly uri?: unknown };
    return typeof uri === "string" ? uri : undefined;
  } catch {
    return undefined;
  }
}
