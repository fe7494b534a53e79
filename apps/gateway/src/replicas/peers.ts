import { type Dispatcher, Pool } from "undici";
import { forwardPath, sessionHeader } from "./forward-head.ts";
import { Relay, type RelayOptions, type RelayOutcome } from "./relay.ts";

/** Connections to other replicas. Times in milliseconds. */
export interface PeersOptions {
  readonly connectTimeoutMs: number;
  /** Replicas that are remembered; the one that was used longest ago is forgotten first. */
  readonly maxPeers?: number;
}

/** One request to another replica. */
export interface PeerRequest {
  readonly url: string;
  readonly body: Buffer;
  readonly sessionId: string | undefined;
  /** Longest time for the whole; undefined for streams, which have none. */
  readonly timeoutMs: number | undefined;
}

/** Answered by every replica that lives, whatever else may be wrong with it. */
const livePath = "/health/live";

/** The HTTP connections of this replica to the others, one pool for each. */
export class Peers {
  readonly #pools = new Map<string, Pool>();
  /** Replicas that a request was lost at; each with the look whether it lives, while one is under way. */
  readonly #suspects = new Map<string, Promise<boolean> | undefined>();
  readonly #options: PeersOptions;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** Sends a request and relays its answer to the client. Never rejects. */
  async send(request: PeerRequest, options: RelayOptions): Promise<RelayOutcome> {
    const { url, body, sessionId, timeoutMs } = request;
    const place = new URL(forwardPath, url);
    if (this.#suspects.has(place.origin) && !(await this.#lives(place.origin))) {
      return { kind: "unreachable", cause: new Error("the replica does not answer") };
    }
    // Its client has left while the replica was looked at. What is no stream is sent all the same, and ends by itself.
    if (timeoutMs === undefined && options.response.destroyed) return { kind: "answered" };
    const relay = new Relay(options);
    const dispatch: Dispatcher.DispatchOptions = {
      origin: place.origin,
      path: place.pathname,
      method: "POST",
      headers: {
        "content-type": "application/octet-stream",
        ...(sessionId === undefined ? {} : { [sessionHeader]: sessionId }),
      },
      body,
      headersTimeout: 0,
      bodyTimeout: 0,
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => relay.expire(), timeoutMs);
    try {
      this.#poolOf(place.origin).dispatch(dispatch, relay);
    } catch (error) {
      relay.onResponseError(undefined, error instanceof Error ? error : new Error(String(error)));
    }
    try {
      const outcome = await relay.outcome;
      if (outcome.kind === "unknown") this.#suspect(place.origin);
      return outcome;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Drops all connections. */
  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }

  /** Looks whether a suspect answers, so that what is sent to a dead one is certainly not executed. */
  #lives(origin: string): Promise<boolean> {
    const looking = this.#suspects.get(origin) ?? this.#look(origin);
    if (this.#suspects.has(origin)) this.#suspects.set(origin, looking);
    return looking;
  }

  async #look(origin: string): Promise<boolean> {
    // Once connected, an answer takes no longer than a connect.
    const signal = AbortSignal.timeout(2 * this.#options.connectTimeoutMs);
    try {
      const { statusCode, body } = await this.#poolOf(origin).request({
        method: "GET",
        path: livePath,
        signal,
      });
      await body.dump();
      if (statusCode === 200) this.#suspects.delete(origin);
      else this.#suspect(origin);
      return statusCode === 200;
    } catch {
      this.#suspect(origin);
      return false;
    }
  }

  /** Nothing is remembered of a replica whose connections were dropped meanwhile. */
  #suspect(origin: string): void {
    if (this.#pools.has(origin)) this.#suspects.set(origin, undefined);
  }

  #poolOf(origin: string): Pool {
    let pool = this.#pools.get(origin);
    if (pool === undefined) {
      pool = new Pool(origin, {
        // Streams stay open, so no number of connections would be the right one; clients' own connections bound it.
        connections: null,
        pipelining: 1,
        // Over HTTP/2 the client would repeat requests by itself.
        allowH2: false,
        connect: { timeout: this.#options.connectTimeoutMs },
        keepAliveTimeout: 30_000,
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      const [oldest] = this.#pools;
      if (oldest !== undefined && this.#pools.size >= (this.#options.maxPeers ?? 128)) {
        this.#pools.delete(oldest[0]);
        this.#suspects.delete(oldest[0]);
        void oldest[1].close();
      }
    } else this.#pools.delete(origin);
    this.#pools.set(origin, pool);
    return pool;
  }
}
