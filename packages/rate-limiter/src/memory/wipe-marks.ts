/**
 * Wipes by number: every wipe takes the next number, a state remembers the number it was written under, and a
 * state older than the last wipe of its scope reads as empty. So a wipe touches no state.
 */
export class WipeMarks {
  readonly #tenants = new Map<string, number>();
  #now = 0;
  #all = 0;
  /** Marks of tenants up to this number may have been forgotten. */
  #forgotten = 0;

  /** The number to write states under. */
  get current(): number {
    return this.#now;
  }

  /** How many tenants have a mark of their own. */
  get tenants(): number {
    return this.#tenants.size;
  }

  /** States of this tenant below this number are empty. */
  oldest(tenant: string | undefined): number {
    return this.#tenants.size === 0 ? this.#all : this.#oldestOf(tenant);
  }

  /** What was charged below this number, by this tenant, may have been wiped since. */
  oldestCharge(tenant: string | undefined): number {
    return tenant === undefined ? this.#all : Math.max(this.oldest(tenant), this.#forgotten);
  }

  /** For the wipe of a key, which empties no other. */
  next(): number {
    return ++this.#now;
  }

  wipeAll(): void {
    this.#all = ++this.#now;
    this.#tenants.clear();
  }

  wipeTenant(tenant: string): void {
    this.#tenants.set(tenant, ++this.#now);
  }

  /** To be called once no state is left that a tenant's mark empties. */
  forgetTenants(): void {
    this.#forgotten = this.#now;
    this.#tenants.clear();
  }

  #oldestOf(tenant: string | undefined): number {
    if (tenant === undefined) return this.#all;
    return Math.max(this.#all, this.#tenants.get(tenant) ?? 0);
  }
}
