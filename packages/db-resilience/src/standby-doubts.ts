import type { DatabaseHost } from "./database-host.ts";
import type { DatabaseEvent } from "./observer.ts";

/** Which standbys are left alone until they have been checked again, and why. */
export class StandbyDoubts {
  readonly #event: (event: DatabaseEvent) => void;
  /** Not heard of since they failed to answer, or to show that they follow. */
  readonly #avoided = new Set<DatabaseHost>();
  /** Whether it was told of them. */
  readonly #strangers = new Map<DatabaseHost, boolean>();

  constructor(event: (event: DatabaseEvent) => void) {
    this.#event = event;
  }

  /** Whether the standby is to be left alone. */
  has(standby: DatabaseHost): boolean {
    return this.#avoided.has(standby);
  }

  /** Whether the standby was of another history when somebody last wanted to read from it. */
  isStranger(standby: DatabaseHost): boolean {
    return this.#strangers.has(standby);
  }

  /** To be called after each check of a host. */
  noteCheck(host: DatabaseHost): void {
    this.#avoided.delete(host);
    if (host.info && !host.info.standby) this.#strangers.delete(host);
  }

  /** The standby did not answer in time. */
  noteSilence(standby: DatabaseHost): void {
    this.#avoided.add(standby);
    standby.suspect();
  }

  /** The standby is not known to follow the server for writes; told where it still does not after a check. */
  noteStranger(standby: DatabaseHost, reason: string): void {
    // Others may have asked at the same time.
    if (this.#avoided.has(standby)) return;
    this.#avoided.add(standby);
    const told = this.#strangers.get(standby);
    if (told === false) this.#event({ type: "db_standby_unproven", host: standby.name, reason });
    this.#strangers.set(standby, told !== undefined);
  }

  /** The standby has shown that it follows. */
  noteFollower(standby: DatabaseHost): void {
    this.#strangers.delete(standby);
  }
}
