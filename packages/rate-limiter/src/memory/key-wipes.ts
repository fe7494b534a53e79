/**
 * Remembers which keys were wiped by themselves and under which number, so that what was charged before is not given
 * back to the state after. Bounded: beyond the latest `most` keys, charges older than a forgotten wipe count as wiped.
 */
export class KeyWipes {
  readonly #most: number;
  readonly #numbers = new Map<string, number>();
  #forgotten = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(rule: number, tenant: string | undefined, id: string, wipe: number): void {
    const key = keyOf(rule, tenant, id);
    this.#numbers.delete(key);
    this.#numbers.set(key, wipe);
    if (this.#numbers.size <= this.#most) return;
    for (const [oldest, number] of this.#numbers) {
      this.#numbers.delete(oldest);
      this.#forgotten = number;
      return;
    }
  }

  /** Charges of this key below this number are gone. */
  oldest(rule: number, tenant: string | undefined, id: string): number {
    return this.#numbers.get(keyOf(rule, tenant, id)) ?? this.#forgotten;
  }
}

function keyOf(rule: number, tenant: string | undefined, id: string): string {
  return `${rule}\n${tenant ?? ""}\n${id}`;
}
