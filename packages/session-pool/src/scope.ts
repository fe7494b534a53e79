/** A hard cap and what it counts: sessions of one server, one tenant, or all. */
export class Scope {
  readonly name: "server" | "tenant" | "total";
  limit: number;
  /** Sessions open, opening or closing. */
  used = 0;
  /** Those of them that no pressure may close, because a downstream session owns them. */
  stateful = 0;
  /** Idle ones that pressure may close. */
  evictable = 0;
  /** Keys in the pool that count against it, with sessions or without. */
  keys = 0;

  constructor(name: Scope["name"], limit: number) {
    this.name = name;
    this.limit = limit;
  }

  /** Whether it is full and stays so until somebody closes something or gives it back. */
  get isShut(): boolean {
    return this.used >= this.limit && this.evictable === 0;
  }

  /** Whether nothing under it can be closed for somebody else. */
  get isHopeless(): boolean {
    return this.stateful >= this.used;
  }
}
