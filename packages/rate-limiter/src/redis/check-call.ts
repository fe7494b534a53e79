import type { Mode } from "../mode.ts";
import type { Charge, Rule } from "../rule.ts";
import type { CheckRequest } from "../store.ts";
import { dedupeKey, stateKey, type TenantKeys, wipedKey } from "./keys.ts";

const MODES: readonly Mode[] = ["enforce", "permissive", "disabled"];
const FLAG_PEEK = 1;
const FLAG_TENANT = 2;
const FLAG_DEDUPE = 4;
const FLAG_COSTS = 8;

/** The arguments a rule adds, by rule; kept by the store, because they never change. */
export type RuleParameters = WeakMap<Rule, readonly string[]>;

/**
 * Keys and arguments of one check, in the order the script documents, and how many of them are keys. Without
 * `parameters` those of the script that knows its rules.
 */
export function checkCall(
  request: CheckRequest,
  keys: TenantKeys,
  parameters: RuleParameters | undefined,
): { keyCount: number; args: string[] } {
  const args = recordKeys(keys);
  for (const charge of request.charges) args.push(stateKey(keys, charge));
  let flags = request.peek ? FLAG_PEEK : 0;
  if (parameters !== undefined && keys.tenantControl !== undefined) flags |= FLAG_TENANT;
  if (request.dedupeId !== undefined) {
    flags |= FLAG_DEDUPE;
    args.push(dedupeKey(keys, request.dedupeId));
  }
  const keyCount = args.length;
  if (request.costs !== undefined) flags |= FLAG_COSTS;
  args.push(String((request.cost * 4 + MODES.indexOf(request.mode)) * 16 + flags));
  if (parameters !== undefined) pushParameters(args, request.charges, parameters);
  for (const cost of request.costs ?? []) args.push(String(cost));
  return { keyCount, args };
}

/** Keys and arguments of a refund. */
export function refundCall(
  keys: TenantKeys,
  charges: readonly Charge[],
  cost: number,
  at: number,
  wipes: readonly [number, number],
  parameters: RuleParameters,
): { keyCount: number; args: string[] } {
  const args = recordKeys(keys);
  for (const charge of charges) args.push(stateKey(keys, charge));
  for (const charge of charges) args.push(wipedKey(keys, charge));
  const keyCount = args.length;
  const flags = keys.tenantControl === undefined ? 0 : FLAG_TENANT;
  args.push(String(cost), String(at), String(flags), String(wipes[0]), String(wipes[1]));
  pushParameters(args, charges, parameters);
  return { keyCount, args };
}

/** Keys and arguments of a wipe of single states. */
export function wipeKeysCall(
  keys: TenantKeys,
  charges: readonly Charge[],
): { keyCount: number; args: string[] } {
  const states = charges.map((charge) => stateKey(keys, charge));
  const marks = charges.map((charge) => wipedKey(keys, charge));
  const lives = charges.map(({ rule }) => String(lifeOf(rule)));
  return { keyCount: 2 * charges.length, args: [...states, ...marks, ...lives] };
}

/** The mode a reply names by number. */
export function modeOf(number: number): Mode {
  return MODES[number] ?? "enforce";
}

function recordKeys(keys: TenantKeys): string[] {
  return keys.tenantControl === undefined ? [keys.control] : [keys.control, keys.tenantControl];
}

function pushParameters(args: string[], charges: readonly Charge[], parameters: RuleParameters): void {
  for (const { rule } of charges) {
    let values = parameters.get(rule);
    if (values === undefined) {
      values = parametersOf(rule);
      parameters.set(rule, values);
    }
    for (let i = 0; i < values.length; i++) args.push(values[i] as string);
  }
}

/** The arguments of a rule, as many as the algorithm's script takes. */
function parametersOf(rule: Rule): readonly string[] {
  const { limit, windowMs, burst, algorithm } = rule;
  switch (algorithm.name) {
    case "fixed_window":
    case "sliding_log":
      return [limit, windowMs].map(String);
    case "sliding_window":
      return [limit, windowMs, lifeOf(rule)].map(String);
    case "token_bucket":
    case "gcra":
      return [limit, windowMs, lifeOf(rule), burst].map(String);
  }
}

/** How long a state may matter, ms. */
export function lifeOf({ limit, windowMs, burst, algorithm }: Rule): number {
  switch (algorithm.name) {
    case "fixed_window":
    case "sliding_log":
      return windowMs;
    case "sliding_window":
      return 2 * windowMs;
    case "token_bucket":
    case "gcra":
      return Math.ceil((burst * windowMs) / limit) + 1;
  }
}
