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
  let at = 0;
  let length = bytes.length;
  for (const { start, end, text } of edits) {
    if (start < at || end < start || end > bytes.length) {
      throw new RangeError(`Edit ${start}…${end} overlaps its predecessor or leaves the buffer.`);
    }
    length += (typeof text === "string" ? Buffer.byteLength(text) : text.length) - (end - start);
    at = end;
  }
  const spliced = Buffer.allocUnsafe(length);
  let written = 0;
  at = 0;
  for (const { start, end, text } of edits) {
    written += bytes.copy(spliced, written, at, start);
    if (typeof text === "string") written += spliced.write(text, written);
    else {
      spliced.set(text, written);
      written += text.length;
    }
    at = end;
  }
  bytes.copy(spliced, written, at);
  return spliced;
}

/** The text of a span. */
export function textOf(bytes: Buffer, span: Span): string {
  return bytes.toString("utf8", span.start, span.end);
}
