import { type ControlRecord, isSettled } from "./control/control-record.ts";
import type { Mode } from "./mode.ts";

/** Of how many tenants it is known that their override has ended; the oldest are forgotten. */
const MOST_SETTLED = 10_000;

/** Which layer a mode comes from, strongest first. */
export type ModeLayer = "on_error" | "tenant_override" | "global_override" | "binding" | "file";

/**
 * What this process knows about one plugin's overrides. Belongs to the pipeline, not to a snapshot, so it
 * outlives every reload. Read at each dispatch.
 */
export class ModeState {
  readonly plugin: string;
  /** Mode of the global override, or undefined when there is none. */
  override: Mode | undefined;
  global: ControlRecord | undefined;
  /** Tenants' records; undefined while there has never been one. */
  tenants: Map<string, ControlRecord> | undefined;
  /** Monotonic time until which the known modes may be decided by without looking at the store. */
  leaseUntil = Number.POSITIVE_INFINITY;
  /** Why `onError: "disable"` switched the plugin off in this process. */
  switchedOff: string | undefined;
  #settled = 0;

  constructor(plugin: string) {
    this.plugin = plugin;
  }

  tenantRecord(tenant: string | undefined): ControlRecord | undefined {
    return tenant === undefined || this.tenants === undefined ? undefined : this.tenants.get(tenant);
  }

  /** Takes over a record as it is; the caller has checked that it is newer. */
  store(tenant: string | undefined, record: ControlRecord): void {
    if (tenant === undefined) {
      this.global = record;
      this.override = record.mode === "inherit" ? undefined : record.mode;
      return;
    }
    this.tenants ??= new Map();
    const before = this.tenants.get(tenant);
    if (before !== undefined && isSettled(before)) this.#settled--;
    if (isSettled(record)) this.#settled++;
    // The latest last.
    this.tenants.delete(tenant);
    this.tenants.set(tenant, record);
    if (this.#settled > MOST_SETTLED) this.#forgetOne(this.tenants);
  }

  /** Of a tenant whose override has ended nothing is lost but its `rev`, which the store knows. */
  #forgetOne(tenants: Map<string, ControlRecord>): void {
    for (const [tenant, record] of tenants) {
      if (!isSettled(record)) continue;
      tenants.delete(tenant);
      this.#settled--;
      return;
    }
  }

  /** How many tenants have a mode of their own now. */
  get overriddenTenants(): number {
    let count = 0;
    for (const { mode } of this.tenants?.values() ?? []) if (mode !== "inherit") count++;
    return count;
  }

  record(tenant: string | undefined): ControlRecord | undefined {
    return tenant === undefined ? this.global : this.tenantRecord(tenant);
  }

  /** The override in force for a tenant and its layer; undefined: ask binding and file. */
  overrideFor(tenant: string | undefined): { readonly mode: Mode; readonly layer: ModeLayer } | undefined {
    const own = this.tenantRecord(tenant);
    if (own !== undefined && own.mode !== "inherit") return { mode: own.mode, layer: "tenant_override" };
    if (this.override !== undefined) return { mode: this.override, layer: "global_override" };
    return undefined;
  }
}
