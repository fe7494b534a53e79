/** Work that many may ask for at the same time: one of them is enough. */
export class SingleFlight {
  readonly #underWay = new Set<string>();

  /** Starts the work, unless work of this name is under way. Nobody waits for it, and nobody hears that it failed. */
  start(name: string, work: () => Promise<void>): void {
    if (this.#underWay.has(name)) return;
    this.#underWay.add(name);
    void work()
      .catch(() => undefined)
      .finally(() => this.#underWay.delete(name));
  }
}
