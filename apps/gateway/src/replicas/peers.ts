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

/** The HTTP connections of this replica to the others, one pool for each. */
export class Peers {
  readonly #pools = new Map<string, Pool>();
  readonly #options: PeersOptions;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** Sends a request and relays its answer to the client. Never rejects. */
  async send(request: PeerRequest, options: RelayOptions): Promise<RelayOutcome> {
    const { url, body, sessionId, timeoutMs } = request;
    const relay = new Relay(options);
    const place = new URL(forwardPath, url);
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
      return await relay.outcome;
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

  #poolOf(origin: string): Pool {
    let pool = this.#pools.get(origin);
    if (pool === undefined) {
      pool = new Pool(origin, {
        // Streams stay open, so no number of connections would be the right one; clients' own connections bound it.
        connections: null,
        pipelining: 1,
        connect: { timeout: this.#options.connectTimeoutMs },
        keepAliveTimeout: 30_000,
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      const [oldest] = this.#pools;
      if (oldest !== undefined && this.#pools.size >= (this.#options.maxPeers ?? 128)) {
        this.#pools.delete(oldest[0]);
        void oldest[1].close();
      }
    } else this.#pools.delete(origin);
    this.#pools.set(origin, pool);
    return pool;
  }
}
