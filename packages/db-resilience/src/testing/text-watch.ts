/** Finds a text in a stream of chunks, case ignored, also where a border of chunks splits it. */
export interface TextWatch {
  /** Whether the text ends in this chunk. */
  feed(chunk: Buffer): boolean;
}

/** Creates a watch for `pattern`; characters beyond Latin-1 never match. */
export function createTextWatch(pattern: string): TextWatch {
  const wanted = pattern.toLowerCase();
  let tail = "";
  return {
    feed(chunk) {
      const text = tail + chunk.toString("latin1").toLowerCase();
      tail = text.slice(text.length - wanted.length + 1);
      if (wanted.length === 1) tail = "";
      return text.includes(wanted);
    },
  };
}
