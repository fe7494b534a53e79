import type { Charge } from "../rule.ts";
import { boundId, escapeId } from "../subject.ts";
import { laneOf } from "./lane.ts";

/** The keys of one tenant; all in its lane. */
export interface TenantKeys {
  readonly lane: string;
  /** Control record of the plugin, this lane's copy. */
  readonly control: string;
  /** Control record of the tenant; undefined without one. */
  readonly tenantControl: string | undefined;
  /** What every state key of the tenant begins with. */
  readonly states: string;
}

const MOST_TENANTS = 1_000;

/**
 * Makes key names: `<prefix>:{l<lane>}:ctl:<plugin>[:t:<tenant>]` and `<prefix>:{l<lane>}:rl:<tenant>:<rule>:<id>`,
 * where `<rule>` is the rule's identity (`by_user@60f`), so that configurations which differ in it never overwrite
 * each other's states.
 */
export class Keys {
  readonly #prefix: string;
  readonly #plugin: string;
  #tenants = new Map<string, TenantKeys>();
  readonly #none: TenantKeys;

  constructor(prefix: string, plugin: string) {
    this.#prefix = prefix;
    this.#plugin = encodeURIComponent(plugin);
    this.#none = this.#make(undefined);
  }

  of(tenant: string | undefined): TenantKeys {
    if (tenant === undefined) return this.#none;
    let keys = this.#tenants.get(tenant);
    if (keys === undefined) {
      keys = this.#make(tenant);
      if (this.#tenants.size >= MOST_TENANTS) this.#tenants = new Map();
      this.#tenants.set(tenant, keys);
    }
    return keys;
  }

  /** The plugin's control record in one lane. */
  control(lane: string): string {
    return `${this.#prefix}:{l${lane}}:ctl:${this.#plugin}`;
  }

  /** Matches every state key of the limiter. */
  everyState(): string {
    return `${globEscape(this.#prefix)}:{l*}:rl:*`;
  }

  /** Matches the state keys of one tenant. */
  statesOf(tenant: string): string {
    return `${globEscape(this.of(tenant).states)}*`;
  }

  /** Held by the replica that sweeps. */
  sweepLock(): string {
    return `${this.#prefix}:{l_}:sweep:${this.#plugin}`;
  }

  /** Scopes that wait for the replica that sweeps. */
  sweepsAsked(): string {
    return `${this.#prefix}:{l_}:sweeps:${this.#plugin}`;
  }

  /** Written to see whether the server of a lane takes writes. */
  probe(lane: string): string {
    return `${this.#prefix}:{l${lane}}:probe:${this.#plugin}`;
  }

  #make(tenant: string | undefined): TenantKeys {
    const lane = laneOf(tenant);
    const control = this.control(lane);
    return {
      lane,
      control,
      tenantControl:
        tenant === undefined ? undefined : `${control}:t:${encodeURIComponent(tenant.toWellFormed())}`,
      states: `${this.#prefix}:{l${lane}}:rl:${tenant === undefined ? "_" : escapeId(boundId(tenant))}:`,
    };
  }
}

/** The state key of one charge. */
export function stateKey(keys: TenantKeys, charge: Charge): string {
  return `${keys.states}${charge.rule.identity}:${escapeId(charge.id)}`;
}

/** The mark of when one state was wiped by itself. */
export function wipedKey(keys: TenantKeys, charge: Charge): string {
  return `${keys.states.replace(":rl:", ":wiped:")}${charge.rule.identity}:${escapeId(charge.id)}`;
}

/** The mark of an admitted call. */
export function dedupeKey(keys: TenantKeys, id: string): string {
  return `${keys.states.replace(":rl:", ":once:")}${escapeId(boundId(id))}`;
}

function globEscape(text: string): string {
  return text.replace(/[\\*?[\]]/g, "\\$&");
}
