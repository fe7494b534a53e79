import type { Dialect } from "kysely";
import { type DatabaseHandle, internalsOf } from "../database-internals.ts";
import { dialectOf } from "./dialect-of.ts";
import { ResilientDriver } from "./resilient-driver.ts";

/**
 * A Kysely dialect on a resilient database. Destroying the Kysely instance leaves the database open.
 *
 * @example
 * const kysely = new Kysely<Tables>({ dialect: createResilientDialect(database), plugins });
 */
export function createResilientDialect(database: DatabaseHandle): Dialect {
  const { provider, options } = internalsOf(database);
  return dialectOf(() => new ResilientDriver(provider, options.retryReads));
}
