import type { ParsedOptions } from "./options.ts";
import type { SessionProvider } from "./session-provider.ts";

const internals = Symbol.for("gatewright.db-resilience.internals");

/** What the entries of this package share. */
export interface Internals {
  readonly provider: SessionProvider;
  readonly options: ParsedOptions;
}

/** A database made by `createResilientDatabase`, as `createResilientDialect` takes it. */
export interface DatabaseHandle {
  /** Marks the kind of object; what else it carries is this package's own. */
  readonly kind: "resilient-database";
}

/** Lets a handle carry the internals under a symbol that survives two copies of the package. */
export function attachInternals<T extends DatabaseHandle>(handle: T, value: Internals): T {
  return Object.defineProperty(handle, internals, { value });
}

/** What the handle carries. */
export function internalsOf(handle: DatabaseHandle): Internals {
  return (handle as unknown as Record<symbol, Internals>)[internals] as Internals;
}
