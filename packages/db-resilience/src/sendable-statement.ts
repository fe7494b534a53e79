import pg, { type QueryConfig } from "pg";
import type { Statement } from "./query-result.ts";
import { invalidStatement } from "./refusals.ts";

/** How pg turns a value into what it sends; its types leave that out. */
const { utils } = pg as unknown as { utils: { prepareValue(value: unknown): unknown } };

/** The protocol counts values in 16 bits. */
const maxValues = 65_535;

/**
 * A statement in the form in which pg cannot fail to send it.
 *
 * @throws DatabaseError `db_query_invalid`; nothing was sent.
 */
export function sendable(statement: string | Statement, values?: readonly unknown[]): QueryConfig {
  if (typeof statement === "string") return { text: statement, values: sendableValues(values) as unknown[] };
  // Named, since libraries give objects of classes of theirs, whose getters a copy leaves out; read once.
  const { text, name } = statement;
  if (typeof text !== "string") throw invalidStatement("A statement for the database has to be a text.");
  const all = sendableValues(statement.values ?? values) as unknown[];
  return { ...statement, text, values: all, ...(name === undefined ? {} : { name }) };
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
      sendable[i] = utils.prepareValue(value);
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
