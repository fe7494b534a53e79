/** One piece of work at a time for each key, in the order in which they came. */
export class KeyedMutex {
  readonly #last = new Map<string, Promise<void>>();

  /** Does the work when all that came before under this key has settled; settles as the work does. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(key) ?? Promise.resolve()).then(work);
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(key, settled);
    void settled.then(() => {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    });
    return turn;
  }
}
