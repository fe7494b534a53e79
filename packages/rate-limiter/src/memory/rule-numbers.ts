import type { Rule } from "../rule.ts";

/** Small numbers for rules: those of one identity share one, across reloads, so their counters go on. */
export class RuleNumbers {
  readonly #numbers = new Map<string, number>();
  readonly #rules: Rule[] = [];
  #lastRule: Rule | undefined;
  #lastNumber = 0;

  of(rule: Rule): number {
    return rule === this.#lastRule ? this.#lastNumber : this.#numberOf(rule);
  }

  /** The rule that last used a number. */
  rule(number: number): Rule | undefined {
    return this.#rules[number];
  }

  #numberOf(rule: Rule): number {
    let number = this.#numbers.get(rule.identity);
    if (number === undefined) {
      number = this.#rules.length;
      this.#numbers.set(rule.identity, number);
    }
    this.#rules[number] = rule;
    this.#lastRule = rule;
    this.#lastNumber = number;
    return number;
  }
}
