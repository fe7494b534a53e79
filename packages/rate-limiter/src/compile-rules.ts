import type { AlgorithmName } from "./algorithms/algorithm.ts";
import { ALGORITHMS } from "./algorithms/catalog.ts";
import type { LimiterRules, RateOption } from "./options.ts";
import { parseRate } from "./rate.ts";
import type { Charge, Resolve, Rule } from "./rule.ts";
import { type Dimension, dimensionOf, joinIds, type Subject } from "./subject.ts";

type Finder = (subject: Subject) => Charge | undefined;

const SIMPLE = ["by_user", "by_tenant", "by_ip"] as const;
const NAMED = ["by_tool", "by_prompt", "by_resource", "by_server"] as const;

/** Turns the rules of a configuration into a function that finds the counters of a subject. */
export function compileRules(rules: LimiterRules, algorithm: AlgorithmName): Resolve {
  const finders: Finder[] = [];
  for (const name of SIMPLE) {
    const option = rules[name];
    if (option !== undefined)
      finders.push(simple(makeRule(name, [dimensionOfRule(name)], option, algorithm)));
  }
  for (const name of NAMED) {
    const options = rules[name];
    if (options !== undefined) finders.push(named(name, options, algorithm));
  }
  for (const [name, { by, rate, burst }] of Object.entries(rules.composite ?? {})) {
    finders.push(composite(makeRule(name, by, { rate, burst }, algorithm)));
  }

  return (subject) => {
    const charges: Charge[] = [];
    for (let i = 0; i < finders.length; i++) {
      const charge = (finders[i] as Finder)(subject);
      if (charge !== undefined) charges.push(charge);
    }
    return charges;
  };
}

function simple(rule: Rule): Finder {
  const dimension = rule.by[0] as Dimension;
  return (subject) => {
    const id = dimensionOf(subject, dimension);
    return id === undefined ? undefined : { rule, id };
  };
}

function named(
  name: (typeof NAMED)[number],
  options: Readonly<Record<string, RateOption>>,
  algorithm: AlgorithmName,
): Finder {
  const dimension = dimensionOfRule(name);
  const rules = new Map<string, Rule>();
  for (const [value, option] of Object.entries(options)) {
    rules.set(value, makeRule(name, [dimension], option, algorithm));
  }
  return (subject) => {
    const value = subject[dimension];
    const rule = value === undefined ? undefined : rules.get(value);
    const id = rule && dimensionOf(subject, dimension);
    return rule === undefined || id === undefined ? undefined : { rule, id };
  };
}

function composite(rule: Rule): Finder {
  return (subject) => {
    const ids: string[] = [];
    for (const dimension of rule.by) {
      const id = dimensionOf(subject, dimension);
      if (id === undefined) return undefined;
      ids.push(id);
    }
    return { rule, id: joinIds(ids) };
  };
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
  const bursts = algorithm === "token_bucket" || algorithm === "gcra";
  const kind = by.join("+");
  return {
    name,
    kind,
    by,
    limit: rate.limit,
    windowMs: rate.windowMs,
    burst: bursts ? (ownBurst ?? rate.limit) : rate.limit,
    algorithm: ALGORITHMS[algorithm],
    identity: `${name}|${kind}|${algorithm}|${rate.windowMs}`,
  };
}

function dimensionOfRule(name: (typeof SIMPLE)[number] | (typeof NAMED)[number]): Dimension {
  return name.slice(3) as Dimension;
}
