import type { ModeEvent } from "@gatewright/plugin-framework";

/** Who sets a mode without a record: every replica by itself, at about the same time. */
const withoutRecord: ReadonlySet<string> = new Set(["reload", "onError", "enable"]);
const periodMs = 60_000;

/**
 * Names changes of modes, so that the replicas name the same change alike. A change by a record has the record's `rev`.
 * Others happen again at the same `rev`: they are counted within the minute, by each replica for itself.
 */
export class EventNames {
  readonly #counted = new Map<string, { readonly period: number; readonly count: number }>();

  nameOf({ scope, rev, previous, next, setBy, at }: ModeEvent): string {
    const name = `${scope}|${rev}|${previous}|${next}|${setBy}`;
    if (!withoutRecord.has(setBy)) return name;
    const period = Math.floor(at / periodMs);
    const known = this.#counted.get(name);
    const count = known?.period === period ? known.count + 1 : 1;
    this.#counted.set(name, { period, count });
    return `${name}|${period}|${count}`;
  }
}
