import { classifyDbError } from "./classify-db-error.ts";
import { ConnectPacing } from "./connect-pacing.ts";
import type { ParsedOptions } from "./options.ts";
import type { PoolContext } from "./pool-context.ts";
import type { PooledConnection } from "./pooled-connection.ts";

/** What happens to connections, for their pool to know. */
export interface OpenerEvents {
  /** A connection was lost after it had been opened. */
  lost(connection: PooledConnection, error: unknown): void;
  /** The pause after a failure is over. */
  again(): void;
}

/** Opens the connections of a pool: as fast as it succeeds; after a failure one at a time, with pauses between. */
export class ConnectionOpener {
  readonly #options: ParsedOptions["pool"];
  readonly #context: PoolContext;
  readonly #events: OpenerEvents;
  readonly #pacing: ConnectPacing;
  #connecting = 0;
  #opened = 0;
  #attempts = 0;
  #closed = false;

  constructor(options: ParsedOptions["pool"], context: PoolContext, events: OpenerEvents) {
    this.#options = options;
    this.#context = context;
    this.#events = events;
    this.#pacing = new ConnectPacing(context.clock, context.random, () => events.again());
  }

  /** Attempts under way. */
  get connecting(): number {
    return this.#connecting;
  }

  /** Connections opened since the start. */
  get opened(): number {
    return this.#opened;
  }

  /** Attempts since the start. */
  get attempts(): number {
    return this.#attempts;
  }

  /** Whether another attempt may begin now. */
  get ready(): boolean {
    return this.#pacing.allows(this.#connecting);
  }

  /** Opens one, with its age of retirement; undefined when that fails, which the host is told. */
  async open(generation: number): Promise<PooledConnection | undefined> {
    this.#connecting++;
    this.#attempts++;
    const { clock, random } = this.#context;
    try {
      const connection = await this.#context.open((lost, error) => this.#events.lost(lost, error));
      this.#connecting--;
      this.#opened++;
      this.#pacing.succeeded();
      connection.generation = generation;
      const { maxLifetimeMs, lifetimeJitterRatio } = this.#options;
      connection.expiresAtMs = clock.monotonic() + maxLifetimeMs * (1 - lifetimeJitterRatio * random());
      this.#context.alive();
      return connection;
    } catch (error) {
      this.#connecting--;
      if (this.#closed) return undefined;
      this.#pacing.failed();
      if (classifyDbError(error).serverAway) this.#context.suspect(error);
      return undefined;
    }
  }

  /** Forgets failures and ends a pause. */
  reset(): void {
    this.#pacing.reset();
  }

  /** No attempt is repeated any more. */
  close(): void {
    this.#closed = true;
    this.#pacing.reset();
  }
}
