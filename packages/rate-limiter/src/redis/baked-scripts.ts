import type { Charge, Rule } from "../rule.ts";
import { lifeOf } from "./check-call.ts";
import { MOST_BAKED_RULES } from "./lua/baked-check.ts";
import { bakedCheckScript, type ClockSource, type Script } from "./script.ts";

/** Rules in the order of a check, one a level, and the scripts of the list that ends here. */
interface Node {
  readonly next: WeakMap<Rule, Node>;
  script: Script | undefined;
  tenantScript: Script | undefined;
}

/**
 * Makes and keeps the scripts that have the numbers of their rules in the text, one for each list of rules that a
 * check may have. Redis forgets no script, so there is a most: a list beyond it has none, and its checks pass the
 * numbers as arguments.
 */
export class BakedScripts {
  readonly #most: number;
  readonly #clock: ClockSource;
  readonly #known = new Map<string, Script>();
  readonly #root = newNode();

  constructor(most: number, clock: ClockSource) {
    this.#most = most;
    this.#clock = clock;
  }

  of(charges: readonly Charge[], hasTenant: boolean): Script | undefined {
    let node = this.#root;
    for (let i = 0; i < charges.length; i++) {
      const { rule } = charges[i] as Charge;
      let next = node.next.get(rule);
      if (next === undefined) {
        next = newNode();
        node.next.set(rule, next);
      }
      node = next;
    }
    const script = hasTenant ? node.tenantScript : node.script;
    return script ?? this.#make(node, charges, hasTenant);
  }

  #make(node: Node, charges: readonly Charge[], hasTenant: boolean): Script | undefined {
    const algorithm = charges[0]?.rule.algorithm.name;
    if (algorithm === undefined || charges.length > MOST_BAKED_RULES) return undefined;
    const rules = charges.map(({ rule: { limit, windowMs, burst, ...rule } }) => ({
      limit,
      windowMs,
      burst,
      lifeMs: lifeOf({ limit, windowMs, burst, ...rule }),
    }));
    const name = JSON.stringify([algorithm, hasTenant, rules]);
    let script = this.#known.get(name);
    if (script === undefined) {
      if (this.#known.size >= this.#most) return undefined;
      script = bakedCheckScript(algorithm, rules, hasTenant, this.#clock);
      this.#known.set(name, script);
    }
    if (hasTenant) node.tenantScript = script;
    else node.script = script;
    return script;
  }
}

function newNode(): Node {
  return { next: new WeakMap(), script: undefined, tenantScript: undefined };
}
