import { parseScope, scopeText } from "../control/control-record.ts";
import { ALL_LANES, laneOf } from "./lane.ts";

/** Names of everything that the control plane keeps in Redis. */
export class ControlKeys {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Frames `{scope, rev}` as JSON. */
  get channel(): string {
    return `${this.#prefix}:bus`;
  }

  /** Sorted set: replica → Redis time of its last beat; `~since` → when it was begun, as a negative number. */
  get members(): string {
    return `${this.#prefix}:{bus}:members`;
  }

  /** Set of the scopes that have an override, and of every global one that ever had. */
  get scopes(): string {
    return `${this.#prefix}:{bus}:scopes`;
  }

  /** Hash: replica → `rev|uuid` of the record that it follows. */
  acks(scope: string): string {
    return `${this.#prefix}:{bus}:acks:${scope}`;
  }

  /** The record that compare-and-set decides on: a tenant's own lane, else lane `_`. */
  primary(scope: string): string {
    return this.#record(laneOf(parseScope(scope)?.tenant), scope);
  }

  /** Where else the record is: a global one has a copy in every lane, a tenant's has none. */
  copies(scope: string): readonly string[] {
    if (parseScope(scope)?.tenant !== undefined) return [];
    return ALL_LANES.slice(1).map((lane) => this.#record(lane, scope));
  }

  #record(lane: string, scope: string): string {
    return `${this.#prefix}:{l${lane}}:ctl:${scope}`;
  }
}

/** The key of one lane's copy of a record: what a fenced plugin's script must read. */
export function controlKey(prefix: string, plugin: string, lane: string, tenant?: string): string {
  const scope = scopeText({ plugin, ...(tenant === undefined ? {} : { tenant }) });
  return `${prefix}:{l${lane}}:ctl:${scope}`;
}
