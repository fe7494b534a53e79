import type { Receipt } from "../decision.ts";
import type { Charge, Rule } from "../rule.ts";

/** The receipt of one counter charged one token: one object, whose list of charges is made when it is asked for. */
export class SoleReceipt implements Receipt {
  declare readonly tenant: string | undefined;
  declare readonly rule: Rule;
  declare readonly id: string;
  declare readonly cost: 1;
  declare readonly at: number;
  declare readonly wipeSeq: number;
  declare readonly tenantWipeSeq: 0;
  declare readonly store: object;

  constructor(
    tenant: string | undefined,
    rule: Rule,
    id: string,
    at: number,
    wipeSeq: number,
    store: object,
  ) {
    this.tenant = tenant;
    this.rule = rule;
    this.id = id;
    this.cost = 1;
    this.at = at;
    this.wipeSeq = wipeSeq;
    this.tenantWipeSeq = 0;
    this.store = store;
  }

  get charges(): readonly Charge[] {
    return [{ rule: this.rule, id: this.id }];
  }
}
