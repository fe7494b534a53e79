import { FRESH } from "../algorithms/algorithm.ts";
import type { KeyTable } from "./key-table.ts";
import type { RuleNumbers } from "./rule-numbers.ts";
import type { WipeMarks } from "./wipe-marks.ts";

const SWEEP_PER_INSERT = 2;
const EVICTION_SAMPLE = 16;

/** Keeps a table within its bound, a few slots at a time: a hand goes round and frees what has expired. */
export class Evictor {
  readonly #table: KeyTable;
  readonly #rules: RuleNumbers;
  readonly #marks: WipeMarks;
  readonly #maxKeys: number;
  #hand = 0;
  #evicted = 0;
  #swept = 0;

  constructor(table: KeyTable, rules: RuleNumbers, marks: WipeMarks, maxKeys: number) {
    this.#table = table;
    this.#rules = rules;
    this.#marks = marks;
    this.#maxKeys = maxKeys;
  }

  /** Keys that were dropped although they still counted. */
  get evicted(): number {
    return this.#evicted;
  }

  /** Keys that were dropped in all. */
  get swept(): number {
    return this.#swept;
  }

  /** Makes room for one key: looks at the next slots in turn, and evicts when the table is full. */
  makeRoom(now: number): void {
    for (let i = 0; i < SWEEP_PER_INSERT; i++) {
      const slot = this.#advance();
      if (this.#expiresAt(slot) <= now) this.#free(slot);
    }
    if (this.#table.size < this.#maxKeys) return;
    let victim = -1;
    let soonest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < EVICTION_SAMPLE || victim < 0; i++) {
      const slot = this.#advance();
      const expiresAt = this.#expiresAt(slot);
      if (expiresAt < soonest) {
        soonest = expiresAt;
        victim = slot;
      }
      if (soonest <= now) break;
    }
    if (soonest > now) this.#evicted++;
    this.#free(victim);
  }

  /** Frees every slot that a wipe emptied. */
  removeWiped(): void {
    for (let slot = 0; slot < this.#table.highest; slot++) {
      const key = this.#table.keyAt(slot);
      if (key && this.#table.load(slot, this.#marks.oldest(key.tenant)) === FRESH) this.#table.remove(slot);
    }
  }

  #free(slot: number): void {
    this.#table.remove(slot);
    this.#swept++;
  }

  #advance(): number {
    this.#hand = this.#hand + 1 >= this.#table.highest ? 0 : this.#hand + 1;
    return this.#hand;
  }

  /** When the state in a slot is as good as fresh; never for a free slot. */
  #expiresAt(slot: number): number {
    const key = this.#table.keyAt(slot);
    const rule = key && this.#rules.rule(key.rule);
    if (!key || !rule) return Number.POSITIVE_INFINITY;
    return rule.algorithm.expiresAt(rule, this.#table.load(slot, this.#marks.oldest(key.tenant)));
  }
}
