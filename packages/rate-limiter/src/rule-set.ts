import type { AlgorithmName } from "./algorithms/algorithm.ts";
import { ALGORITHMS } from "./algorithms/catalog.ts";
import type { LimiterRules, RateOption } from "./options.ts";
import { parseRate } from "./rate.ts";
import type { Charge, Rule } from "./rule.ts";
import { ruleIdentity } from "./rule-identity.ts";
import { asId, type Dimension, dimensionOf, fieldOf, joinIds, readerOf, type Subject } from "./subject.ts";

const SIMPLE = ["by_user", "by_tenant", "by_ip"] as const;
const NAMED = ["by_tool", "by_prompt", "by_resource", "by_server"] as const;

/** A rule of one dimension, a rule for each of some values of one, or a rule of several dimensions. */
type Entry =
  | { readonly kind: "simple"; readonly dimension: Dimension; readonly rule: Rule }
  | { readonly kind: "named"; readonly dimension: Dimension; readonly rules: ReadonlyMap<string, Rule> }
  | { readonly kind: "composite"; readonly rule: Rule };

interface OnlyRule {
  readonly rule: Rule;
  readonly dimension: Dimension;
  readonly read: (subject: Subject) => string | undefined;
}

const NO_CHARGES: readonly Charge[] = [];

/** The rules of a limiter; finds the counters that a check of a subject charges, in the order of the config. */
export class RuleSet {
  readonly #entries: readonly Entry[];
  readonly #only: OnlyRule | undefined;

  constructor(rules: LimiterRules, algorithm: AlgorithmName) {
    this.#entries = entriesOf(rules, algorithm);
    const [first, second] = this.#entries;
    if (second === undefined && first?.kind === "simple")
      this.#only = { rule: first.rule, dimension: first.dimension, read: readerOf(first.dimension) };
  }

  /** The rule of a set that is one simple rule; undefined for any other set. */
  get only(): Rule | undefined {
    return this.#only?.rule;
  }

  /** Whose counter {@link only} charges; undefined when it does not apply. */
  idForOnly(subject: Subject): string | undefined {
    const only = this.#only;
    return only === undefined ? undefined : asId(only.read(subject), only.dimension);
  }

  resolve(subject: Subject): readonly Charge[] {
    let charges: Charge[] | undefined;
    for (let i = 0; i < this.#entries.length; i++) {
      const charge = chargeOf(this.#entries[i] as Entry, subject);
      if (charge === undefined) continue;
      // A literal of one element is exactly as large as it must be; an array that is pushed to is not.
      if (charges === undefined) charges = [charge];
      else charges.push(charge);
    }
    return charges ?? NO_CHARGES;
  }
}

function chargeOf(entry: Entry, subject: Subject): Charge | undefined {
  if (entry.kind !== "simple") return rarerCharge(entry, subject);
  const id = dimensionOf(subject, entry.dimension);
  return id === undefined ? undefined : { rule: entry.rule, id };
}

function rarerCharge(entry: Exclude<Entry, { kind: "simple" }>, subject: Subject): Charge | undefined {
  if (entry.kind === "composite") {
    const id = jointId(subject, entry.rule);
    return id === undefined ? undefined : { rule: entry.rule, id };
  }
  const value = fieldOf(subject, entry.dimension);
  const rule = value === undefined ? undefined : entry.rules.get(value);
  const id = rule && dimensionOf(subject, entry.dimension);
  return rule === undefined || id === undefined ? undefined : { rule, id };
}

function entriesOf(rules: LimiterRules, algorithm: AlgorithmName): readonly Entry[] {
  const entries: Entry[] = [];
  for (const name of SIMPLE) {
    const option = rules[name];
    const dimension = dimensionOfRule(name);
    if (option === undefined) continue;
    entries.push({ kind: "simple", dimension, rule: makeRule(name, [dimension], option, algorithm) });
  }
  for (const name of NAMED) {
    const options = rules[name];
    const dimension = dimensionOfRule(name);
    if (options === undefined) continue;
    const named = Object.entries(options).map(
      ([value, option]) => [value, makeRule(name, [dimension], option, algorithm)] as const,
    );
    entries.push({ kind: "named", dimension, rules: new Map(named) });
  }
  for (const [name, { by, rate, burst }] of Object.entries(rules.composite ?? {})) {
    entries.push({ kind: "composite", rule: makeRule(name, by, { rate, burst }, algorithm) });
  }
  return entries;
}

function jointId(subject: Subject, rule: Rule): string | undefined {
  const ids: string[] = [];
  for (const dimension of rule.by) {
    const id = dimensionOf(subject, dimension);
    if (id === undefined) return undefined;
    ids.push(id);
  }
  return joinIds(ids);
}

function makeRule(
  name: string,
  by: readonly Dimension[],
  option: RateOption,
  algorithm: AlgorithmName,
): Rule {
  const text = typeof option === "string" ? option : option.rate;
  const rate = parseRate(text);
  if (typeof rate === "string") throw new TypeError(rate);
  const ownBurst = typeof option === "string" ? undefined : option.burst;
  const kind = by.join("+");
  const burst = ownBurst ?? rate.limit;
  return {
    name,
    kind,
    by,
    limit: rate.limit,
    windowMs: rate.windowMs,
    burst,
    algorithm: ALGORITHMS[algorithm],
    identity: ruleIdentity(name, by, algorithm, rate, burst),
  };
}

function dimensionOfRule(name: (typeof SIMPLE)[number] | (typeof NAMED)[number]): Dimension {
  return name.slice(3) as Dimension;
}
