import pg, { type QueryConfig } from "pg";
import type { Statement } from "./query-result.ts";
import { invalidStatement } from "./refusals.ts";

/** How pg turns a value into what it sends; its types leave that out. */
const { prepareValue } = (pg as unknown as { utils: { prepareValue(value: unknown): unknown } }).utils;

/** The protocol counts values in 16 bits. */
const maxValues = 65_535;

/**
 * A statement in the form in which pg cannot fail to send it.
 *
 * @throws DatabaseError `db_query_invalid`; nothing was sent.
 */
export function sendable(statement: string | Statement, values?: readonly unknown[]): QueryConfig {
  const given: Statement = typeof statement === "string" ? { text: statement } : statement;
  if (typeof given.text !== "string")
    throw invalidStatement("A statement for the database has to be a text.");
  return { ...given, values: sendableValues(given.values ?? values) as unknown[] };
}

/**
 * The values as pg sends them, made before anything is sent: pg does so while it writes the statement, and where a value
 * throws then — a cycle or a BigInt inside JSON, a `toPostgres` or a getter that fails — it reports the statement first
 * as failed and then as done.
 *
 * @throws DatabaseError `db_query_invalid`, `cause` being what the value has thrown.
 */
function sendableValues(values: readonly unknown[] | undefined): readonly unknown[] | undefined {
  if (values === undefined || values === null) return undefined;
  if (!Array.isArray(values))
    throw invalidStatement("The values of a statement for the database have to be an array.");
  if (values.length > maxValues)
    throw invalidStatement(`The database takes at most ${maxValues} values with a statement.`);
  let sendable: unknown[] | undefined;
  for (let i = 0; i < values.length; i++) {
    try {
      const value: unknown = values[i];
      if (isPlain(value)) continue;
      sendable ??= [...values];
      sendable[i] = prepareValue(value);
    } catch (error) {
      const message = "A value of the statement cannot be turned into what the database takes.";
      throw invalidStatement(message, { value: i + 1 }, error);
    }
  }
  return sendable ?? values;
}

/** Nothing can go wrong with it: it has no code of its own. */
function isPlain(value: unknown): boolean {
  if (typeof value === "object") return value === null || Buffer.isBuffer(value);
  return typeof value !== "function";
}
