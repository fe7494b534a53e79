/** What the language throws for a mistake in a program. */
const KINDS = new Set(["TypeError", "RangeError", "ReferenceError", "SyntaxError", "URIError", "EvalError"]);

/**
 * Is this the mistake of a program, and no word of a store that is away? To go on without the store would hide it, and
 * would not end with an outage. A failed `fetch` is a TypeError too, but names what it failed of.
 */
export function isProgrammingError(error: unknown): boolean {
  return error instanceof Error && KINDS.has(error.name) && error.cause === undefined;
}
