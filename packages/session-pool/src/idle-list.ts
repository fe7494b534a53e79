import type { Entry } from "./entry.ts";

/** Idle sessions that pressure may close, least recently used first. */
export class IdleList<S, C> {
  #oldest: Entry<S, C> | undefined = undefined;
  #newest: Entry<S, C> | undefined = undefined;

  add(entry: Entry<S, C>): void {
    entry.listed = true;
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
    for (const scope of entry.bucket.scopes) scope.evictable++;
  }

  remove(entry: Entry<S, C>): void {
    if (!entry.listed) return;
    entry.listed = false;
    if (entry.older === undefined) this.#oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === undefined) this.#newest = entry.older;
    else entry.newer.older = entry.older;
    entry.older = undefined;
    entry.newer = undefined;
    for (const scope of entry.bucket.scopes) scope.evictable--;
  }

  /** The least recently used entry that `fits`. */
  find(fits: (entry: Entry<S, C>) => boolean): Entry<S, C> | undefined {
    for (let entry = this.#oldest; entry !== undefined; entry = entry.newer) if (fits(entry)) return entry;
    return undefined;
  }
}
