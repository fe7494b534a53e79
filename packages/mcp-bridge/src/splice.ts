/** Half-open range of bytes: `start` inclusive, `end` exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** One replacement: the bytes of `start`…`end` become `text`. Equal `start` and `end` insert. */
export interface Edit extends Span {
  readonly text: string | Uint8Array;
}

/**
 * Replaces ranges of `bytes` and leaves every other byte as it is.
 *
 * @param edits ordered by `start`, not overlapping, inside the buffer; else a `RangeError` is thrown
 */
export function splice(bytes: Buffer, edits: readonly Edit[]): Buffer {
  if (edits.length === 0) return bytes;
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const edit of edits) {
    if (edit.start < at || edit.end < edit.start || edit.end > bytes.length) {
      throw new RangeError(`Edit ${edit.start}…${edit.end} overlaps its predecessor or leaves the buffer.`);
    }
    if (edit.start > at) parts.push(bytes.subarray(at, edit.start));
    if (edit.text.length > 0) parts.push(typeof edit.text === "string" ? Buffer.from(edit.text) : edit.text);
    at = edit.end;
  }
  if (at < bytes.length) parts.push(bytes.subarray(at));
  return Buffer.concat(parts);
}

/** The text of a span. */
export function textOf(bytes: Buffer, span: Span): string {
  return bytes.toString("utf8", span.start, span.end);
}
