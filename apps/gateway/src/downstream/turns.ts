/** Lets so many do something at a time; the others come in the order in which they asked. */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  readonly #onIdle: () => void;
  #free: number;
  readonly #all: number;

  /** @param onIdle told when nobody has a turn */
  constructor(atOnce: number, onIdle: () => void) {
    this.#all = atOnce;
    this.#free = atOnce;
    this.#onIdle = onIdle;
  }

  /** Waits for a turn; the function that comes back ends it, and is called once. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return () => {
      const next = this.#waiting.shift();
      if (next !== undefined) next();
      else if (++this.#free === this.#all) this.#onIdle();
    };
  }
}
