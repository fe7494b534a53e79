/**
 * What is to be done when a session ends here, once. A call that was in flight then may add to it later still: that is done
 * at once, as nothing else would ever do it.
 */
export class EndHooks {
  readonly #hooks = new Set<() => void>();
  #ended = false;

  /** Whether they were run. */
  get ended(): boolean {
    return this.#ended;
  }

  add(hook: () => void): void {
    if (this.#ended) hook();
    else this.#hooks.add(hook);
  }

  run(): void {
    this.#ended = true;
    for (const hook of this.#hooks) hook();
    this.#hooks.clear();
  }
}
