import type { ModeState } from "../mode-state.ts";
import { isSettled, scopeText } from "./control-record.ts";

/** How many ended tenants' records one poll looks at. */
const SWEPT = 16;

/**
 * Which records a poll looks at beside those that the bus lists. A tenant's record whose override has ended changes by
 * a new switch alone, which lists it: so thousands of them cost a poll nothing but a look at a few.
 */
export class PollPlan {
  #swept = 0;

  /** Every plugin's own record, and those of tenants that have an override. */
  followed(states: Iterable<ModeState>): string[] {
    return [...states].flatMap(({ plugin, tenants }) => [
      scopeText({ plugin }),
      ...[...(tenants ?? [])].flatMap(([tenant, record]) =>
        isSettled(record) ? [] : [scopeText({ plugin, tenant })],
      ),
    ]);
  }

  /** A few of the others, each in its turn: what the store has lost is found and put back in time. */
  swept(states: Iterable<ModeState>): string[] {
    const texts: string[] = [];
    let index = 0;
    for (const { plugin, tenants } of states) {
      for (const [tenant, record] of tenants ?? []) {
        if (!isSettled(record)) continue;
        if (index >= this.#swept && texts.length < SWEPT) texts.push(scopeText({ plugin, tenant }));
        index++;
      }
    }
    this.#swept = this.#swept + SWEPT < index ? this.#swept + SWEPT : 0;
    return texts;
  }
}
