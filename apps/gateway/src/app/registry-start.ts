import type { Logger } from "pino";
import { isAway } from "../registry/is-away.ts";
import type { Registry } from "../registry/registry.ts";

/** What a start works with. */
export interface RegistryStartOptions {
  readonly registry: Pick<Registry, "migrate">;
  /** Whether the gateway starts without its database, and goes on when that is there. */
  readonly patient: boolean;
  readonly logger: Logger;
}

/** How long a start waits for a database that is away or busy before it goes on without. */
const patienceMs = 1_000;
/** Pause between two attempts, spread so that replicas do not come at once. */
const pauseMs = 250;

/** The part of a start that needs the registry: its tables, then some steps, each made until it succeeds once. */
export class RegistryStart {
  readonly #options: RegistryStartOptions;
  #migrating: Promise<void> | undefined;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RegistryStartOptions) {
    this.#options = options;
  }

  /**
   * Brings the tables up to date; false when the database does not let us yet.
   *
   * @throws what else is wrong
   */
  prepare(): Promise<boolean> {
    return this.#first(this.#migrate());
  }

  /**
   * Takes the steps, in the background when the database is away.
   *
   * @throws what is wrong beside that
   */
  async begin(steps: readonly (() => Promise<void>)[]): Promise<void> {
    const left = [...steps];
    if (await this.#first(this.#attempt(left))) return;
    this.#options.logger.warn("the database does not serve the registry yet; the gateway starts without it");
    this.#later(left);
  }

  /** Gives up what has not succeeded. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #migrate(): Promise<void> {
    this.#migrating ??= this.#options.registry.migrate().catch((error: unknown) => {
      this.#migrating = undefined;
      throw error;
    });
    return this.#migrating;
  }

  /** A step that fails does not hold up those after it: reading may be possible where writing is not. */
  async #attempt(left: (() => Promise<void>)[]): Promise<void> {
    await this.#migrate();
    const failures: unknown[] = [];
    for (const step of [...left]) {
      try {
        await step();
        left.splice(left.indexOf(step), 1);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Waits for the first attempt as long as the start has patience. */
  async #first(attempt: Promise<void>): Promise<boolean> {
    const made = attempt.then(
      () => true,
      (error: unknown) => {
        if (!this.#options.patient || !isAway(error)) throw error;
        return false;
      },
    );
    if (!this.#options.patient) return made;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, patienceMs, false);
    });
    const outcome = await Promise.race([made, late]);
    clearTimeout(timer);
    made.catch(() => undefined);
    return outcome;
  }

  #later(left: (() => Promise<void>)[]): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#again(left), pauseMs * (1 + Math.random())).unref();
  }

  async #again(left: (() => Promise<void>)[]): Promise<void> {
    const { logger } = this.#options;
    try {
      await this.#attempt(left);
      logger.info("the database serves the registry");
    } catch (error) {
      logger[isAway(error) ? "debug" : "error"]({ err: error }, "the registry cannot be used yet");
      this.#later(left);
    }
  }
}
