import type { ParsedOptions } from "./options.ts";
import type { SessionProvider } from "./session-provider.ts";

/** Under this key a database carries what the `./kysely` entry needs of it. */
export const internals = Symbol.for("gatewright.db-resilience.internals");

/** What the entries of this package share. */
export interface Internals {
  readonly provider: SessionProvider;
  readonly options: ParsedOptions;
}

/** A database of this package. */
export interface WithInternals {
  readonly [internals]: Internals;
}
