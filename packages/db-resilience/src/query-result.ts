/** A row: column names to values. */
export type Row = Record<string, unknown>;

/** A statement with its values; `name` has it prepared once per connection (not behind a pooler). */
export interface Statement {
  readonly text: string;
  readonly values?: readonly unknown[];
  readonly name?: string;
}

/** What the server answered. */
export interface QueryResult<R extends object = Row> {
  readonly rows: R[];
  /** Rows affected or returned; null where that means nothing. */
  readonly rowCount: number | null;
  /** "SELECT", "INSERT", "COMMIT" … */
  readonly command: string;
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[];
}
