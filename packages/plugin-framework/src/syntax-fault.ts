/** As far as JSON and YAML parsers say where they stopped. */
interface SyntaxFault {
  /** The word of a YAML parser for what is wrong. */
  readonly code?: unknown;
  readonly linePos?: readonly { readonly line: number; readonly col: number }[];
  readonly message?: unknown;
}

/**
 * What is wrong with a text that a parser refused, and where. Parsers quote the text in their messages, and a
 * configuration holds secrets: of a message no more is taken than the place.
 *
 * @param error what `JSON.parse`, or `parse` of the library `yaml`, has thrown; of anything else no place is known
 * @returns such as `a syntax error at line 2, column 3`, or `BAD_INDENT at line 2, column 1`
 */
export function syntaxFault(error: unknown): string {
  const { code, linePos, message } = (error ?? {}) as SyntaxFault;
  const what = typeof code === "string" && /^[A-Z_]+$/.test(code) ? code : "a syntax error";
  const [start] = linePos ?? [];
  if (start !== undefined) return `${what} at line ${start.line}, column ${start.col}`;
  const [, line, column] = /\(line (\d+) column (\d+)\)$/.exec(String(message)) ?? [];
  return line === undefined ? what : `${what} at line ${line}, column ${column}`;
}
