import { JsonCursor } from "./json-cursor.ts";
import type { Span } from "./splice.ts";

/** Which values to find: `true` marks one, keys lead into objects, `"*"` into every element of an array. */
export type SpanPattern = true | { readonly [key: string]: SpanPattern };

/** Depth to which texts that were parsed before are searched. */
const MAX_DEPTH = 1024;

/**
 * The spans of all values that a pattern marks, in the order of the text. The bytes must be valid JSON.
 *
 * @param start where the value begins; default 0
 */
export function findSpans(bytes: Buffer, pattern: SpanPattern, start = 0): Span[] {
  const spans: Span[] = [];
  walk(new JsonCursor(bytes, start, MAX_DEPTH), pattern, spans);
  return spans;
}

function walk(cursor: JsonCursor, pattern: SpanPattern, spans: Span[]): void {
  cursor.peek();
  if (pattern === true) {
    const start = cursor.at;
    cursor.skipValue();
    spans.push({ start, end: cursor.at });
    return;
  }
  if (cursor.enter("{")) {
    while (cursor.nextMember()) step(cursor, childOf(pattern, cursor.key()), spans);
  } else if (pattern["*"] !== undefined && cursor.enter("[")) {
    while (cursor.nextElement()) step(cursor, pattern["*"], spans);
  } else cursor.skipValue();
}

function childOf(pattern: { readonly [key: string]: SpanPattern }, key: string): SpanPattern | undefined {
  return key !== "*" && Object.hasOwn(pattern, key) ? pattern[key] : undefined;
}

function step(cursor: JsonCursor, child: SpanPattern | undefined, spans: Span[]): void {
  if (child === undefined) cursor.skipValue();
  else walk(cursor, child, spans);
}
