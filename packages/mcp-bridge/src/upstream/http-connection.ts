import type { LookupFunction } from "node:net";
import { type Dispatcher, Pool } from "undici";
import { Deadlines } from "./deadlines.ts";
import { type ExchangeOptions, HttpExchange } from "./http-exchange.ts";

/** Headers that every request of an upstream carries, or how to get them. */
export type HeaderSource =
  | { readonly [name: string]: string }
  | (() => { readonly [name: string]: string } | Promise<{ readonly [name: string]: string }>);

/** What {@link HttpConnection} is made of. */
export interface ConnectionOptions {
  readonly url: URL;
  readonly headers: HeaderSource;
  readonly dispatcher: Dispatcher | undefined;
  readonly lookup: LookupFunction | undefined;
  readonly connections: number;
  readonly connectTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
}

/** One HTTP request. Header pairs are flat: name, value, name, value. */
export interface HttpSend {
  readonly method: "POST" | "GET" | "DELETE";
  readonly headers: readonly string[];
  readonly body?: string | Buffer;
  /** Default: the endpoint's. */
  readonly path?: string;
  /** Long-lived: kept out of the pool that calls share, so that streams cannot starve them. */
  readonly longLived?: boolean;
}

/** The TCP connections to one upstream: one pool for calls, and one, opened on demand, for streams that stay. */
export class HttpConnection {
  readonly url: URL;
  readonly #options: ConnectionOptions;
  readonly #origin: string;
  readonly #path: string;
  readonly #deadlines = new Deadlines();
  readonly #calls: Dispatcher;
  #streams: Dispatcher | undefined;
  readonly #staticHeaders: readonly string[] | undefined;

  constructor(options: ConnectionOptions) {
    this.url = options.url;
    this.#options = options;
    this.#origin = options.url.origin;
    this.#path = options.url.pathname + options.url.search;
    this.#calls = options.dispatcher ?? this.#createPool(options.connections);
    this.#staticHeaders = typeof options.headers === "function" ? undefined : flatten(options.headers);
  }

  /** Starts a request; the exchange settles by itself. */
  send(request: HttpSend, options: ExchangeOptions): HttpExchange {
    const exchange = new HttpExchange(options, this.#deadlines);
    if (this.#staticHeaders) this.#dispatch(request, this.#staticHeaders, exchange);
    else void this.#resolveHeaders(request, exchange);
    return exchange;
  }

  /** Drops every connection at once. */
  async destroy(): Promise<void> {
    if (this.#options.dispatcher) return;
    await Promise.all([this.#calls.destroy(), this.#streams?.destroy()]);
  }

  async #resolveHeaders(request: HttpSend, exchange: HttpExchange): Promise<void> {
    try {
      const { headers } = this.#options;
      const resolved = typeof headers === "function" ? await headers() : headers;
      this.#dispatch(request, flatten(resolved), exchange);
    } catch (error) {
      exchange.onResponseError(undefined, error instanceof Error ? error : new Error(String(error)));
    }
  }

  #dispatch(request: HttpSend, base: readonly string[], exchange: HttpExchange): void {
    const options: Dispatcher.DispatchOptions = {
      origin: this.#origin,
      path: request.path ?? this.#path,
      method: request.method,
      // Undici only reads the list.
      headers: (base.length === 0 ? request.headers : [...base, ...request.headers]) as string[],
      headersTimeout: 0,
      bodyTimeout: 0,
      body: request.body ?? null,
    };
    try {
      this.#dispatcherFor(request).dispatch(options, exchange);
    } catch (error) {
      exchange.onResponseError(undefined, error instanceof Error ? error : new Error(String(error)));
    }
  }

  #dispatcherFor(request: HttpSend): Dispatcher {
    if (!request.longLived || this.#options.dispatcher) return this.#calls;
    this.#streams ??= this.#createPool(null);
    return this.#streams;
  }

  #createPool(connections: number | null): Pool {
    const { url, connectTimeoutMs, keepAliveTimeoutMs, lookup } = this.#options;
    return new Pool(url.origin, {
      connections,
      pipelining: 1,
      // Over HTTP/2 the client would repeat requests by itself, after GOAWAY and REFUSED_STREAM.
      allowH2: false,
      connect: { timeout: connectTimeoutMs, ...(lookup && { lookup }) },
      keepAliveTimeout: keepAliveTimeoutMs,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }
}

function flatten(headers: { readonly [name: string]: string }): readonly string[] {
  return Object.entries(headers).flat();
}
