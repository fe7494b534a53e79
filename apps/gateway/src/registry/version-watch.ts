/** What the watch works with. */
export interface VersionWatchOptions {
  /** Asks the database for the registry's version. */
  readonly ask: () => Promise<number>;
  readonly pollMs: number;
  /** The registry is not what was read last. */
  readonly changed: () => void;
}

/**
 * Notices that the registry has changed: by news, and by a poll behind them. As long as what was read last is not of the
 * version that is there, every poll says so, so that a reading that failed is made again.
 */
export class VersionWatch {
  readonly #options: VersionWatchOptions;
  #read: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: VersionWatchOptions) {
    this.#options = options;
    this.#later();
  }

  /** The registry was read at this version. */
  noteRead(version: number): void {
    this.#read = version;
  }

  /** Somebody says that this is its version now; nobody knows which, when none is given. */
  hear(version?: number): void {
    if (version === undefined) void this.#ask();
    else if (version !== this.#read) this.#options.changed();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #later(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(async () => {
      await this.#ask();
      this.#later();
    }, this.#options.pollMs).unref();
  }

  async #ask(): Promise<void> {
    try {
      const version = await this.#options.ask();
      if (!this.#stopped) this.hear(version);
    } catch {
      // The database is away, which its own checks tell of; the next poll looks again.
    }
  }
}
