import type { GatewayConfig } from "../config/gateway-config.ts";
import { shownLine } from "./shown-value.ts";

/** One value that differs between two configurations, without secrets. */
export interface ConfigChange {
  /** Dotted path; plugins and API keys by their names. */
  readonly path: string;
  readonly from: string;
  readonly to: string;
}

/** What differs from one configuration to another, in the order of the paths. */
export function diffConfig(from: GatewayConfig, to: GatewayConfig): ConfigChange[] {
  return [...changes("", from, to)];
}

function* changes(path: string, from: unknown, to: unknown): Generator<ConfigChange> {
  const before = membersOf(from);
  const after = membersOf(to);
  if (before === undefined || after === undefined) {
    if (JSON.stringify(from) !== JSON.stringify(to)) {
      yield { path, from: shownLine(path, from), to: shownLine(path, to) };
    }
    return;
  }
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    yield* changes(path === "" ? key : `${path}.${key}`, before.get(key), after.get(key));
  }
}

/** The members of an object, or of a list whose entries have names; undefined for what is compared as a whole. */
function membersOf(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (!Array.isArray(value)) return new Map(Object.entries(value));
  const named = value.map((item) => [(item as { readonly name?: unknown } | null)?.name, item] as const);
  return named.every(([name]) => typeof name === "string")
    ? new Map(named as (readonly [string, unknown])[])
    : undefined;
}
