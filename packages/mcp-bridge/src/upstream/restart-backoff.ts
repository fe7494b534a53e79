/** Options of {@link RestartBackoff}, in milliseconds. */
export interface RestartBackoffOptions {
  /** Pause after the first failure; doubles with each further one. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** A process that lived this long had not failed to start. */
  readonly healthyAfterMs: number;
  readonly now: () => number;
}

/** How long to wait before a process that ended on its own is started again. */
export class RestartBackoff {
  readonly #options: RestartBackoffOptions;
  #failures = 0;
  #failedAt = 0;

  constructor(options: RestartBackoffOptions) {
    this.#options = options;
  }

  /** Notes that a process ended unasked after `livedMs`. */
  failed(livedMs: number): void {
    this.#failures = livedMs >= this.#options.healthyAfterMs ? 1 : this.#failures + 1;
    this.#failedAt = this.#options.now();
  }

  /** Notes a handshake that went well. */
  succeeded(): void {
    this.#failures = Math.min(this.#failures, 1);
  }

  /** Milliseconds until the next start is allowed; 0 = now. */
  remainingMs(): number {
    if (this.#failures === 0) return 0;
    const { baseMs, maxMs, now } = this.#options;
    const pause = Math.min(maxMs, baseMs * 2 ** Math.min(30, this.#failures - 1));
    return Math.max(0, this.#failedAt + pause - now());
  }
}

/** Most environments whose failures are remembered. */
const MAX_ENVIRONMENTS = 1_000;

/** One for each environment that children are started with: what fails for one caller is no failure of others. */
export class RestartBackoffs {
  readonly #options: RestartBackoffOptions;
  readonly #known = new Map<string, RestartBackoff>();

  constructor(options: RestartBackoffOptions) {
    this.#options = options;
  }

  /** The one of an environment; the longest unused is forgotten when there are too many. */
  of(env: { readonly [name: string]: string } | undefined): RestartBackoff {
    const key = env === undefined ? "" : JSON.stringify(env);
    const known = this.#known.get(key) ?? new RestartBackoff(this.#options);
    this.#known.delete(key);
    this.#known.set(key, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_ENVIRONMENTS && oldest !== undefined) this.#known.delete(oldest);
    return known;
  }
}
