import type { Clock } from "./clock.ts";
import { idleCare } from "./idle-care.ts";
import type { ParsedOptions } from "./options.ts";
import type { PooledConnection } from "./pooled-connection.ts";

const ofAge = "it has reached its age";
const ofIdleness = "it was idle for long";

/** Whether a connection is closed for a reason that says nothing against it: then the server is told. */
export function isFarewell(reason: string): boolean {
  return reason === ofAge || reason === ofIdleness;
}

/** What becomes of idle connections. */
export interface IdleFate {
  /** It is to be closed. */
  close(connection: PooledConnection, reason: string): void;
  /** It is to be asked for a sign of life. */
  ask(connection: PooledConnection): void;
}

/** The connections of a pool that nobody uses, the most recently used last, and the generation that is handed out. */
export class IdleConnections {
  readonly #options: ParsedOptions["pool"];
  readonly #clock: Clock;
  readonly #fate: IdleFate;
  #list: PooledConnection[] = [];
  #generation = 0;

  constructor(options: ParsedOptions["pool"], clock: Clock, fate: IdleFate) {
    this.#options = options;
    this.#clock = clock;
    this.#fate = fate;
  }

  get length(): number {
    return this.#list.length;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Why a connection must not be handed out, or undefined. */
  doubt(connection: PooledConnection): string | undefined {
    if (connection.isLost) return "the connection was lost";
    if (connection.generation !== this.#generation) return "its generation has ended";
    if (connection.expiresAtMs <= this.#clock.monotonic()) return ofAge;
    return undefined;
  }

  put(connection: PooledConnection): void {
    this.#list.push(connection);
  }

  /** Takes the one that was used last and is not in doubt. */
  take(): PooledConnection | undefined {
    for (let connection = this.#list.pop(); connection; connection = this.#list.pop()) {
      const doubt = this.doubt(connection);
      if (doubt === undefined) return connection;
      this.#fate.close(connection, doubt);
    }
    return undefined;
  }

  /** Has this one closed, if it is here. */
  close(connection: PooledConnection, reason: string): void {
    if (this.#remove(connection)) this.#fate.close(connection, reason);
  }

  /** Has all of them closed. */
  clear(reason: string): void {
    for (const connection of this.#list.splice(0)) this.#fate.close(connection, reason);
  }

  /** Ends the generation: what belongs to it is not handed out again. */
  endGeneration(): number {
    return ++this.#generation;
  }

  /** Has those closed that are old, or idle for long in a pool of `live()` connections, and others asked. */
  tend(live: () => number): void {
    const now = this.#clock.monotonic();
    for (const connection of [...this.#list]) {
      const doubt = this.doubt(connection);
      const care = doubt === undefined ? this.#careOf(connection, now, live()) : "close";
      if (care === "leave") continue;
      this.#remove(connection);
      if (care === "close") this.#fate.close(connection, doubt ?? ofIdleness);
      else this.#fate.ask(connection);
    }
  }

  #careOf(connection: PooledConnection, now: number, live: number) {
    return idleCare(now - connection.lastUsedAtMs, live, this.#options);
  }

  #remove(connection: PooledConnection): boolean {
    const at = this.#list.indexOf(connection);
    if (at >= 0) this.#list.splice(at, 1);
    return at >= 0;
  }
}
