import { JsonCursor } from "./json-cursor.ts";
import type { Edit, Span } from "./splice.ts";

/** Depth to which texts that were parsed before are searched. */
const MAX_DEPTH = 1024;

/**
 * Edits that remove members of an object, commas included. `isRemoved` looks at the cursor's last key.
 */
export function removedMembers(
  bytes: Buffer,
  object: Span,
  isRemoved: (cursor: JsonCursor) => boolean,
): Edit[] {
  const edits: Edit[] = [];
  const cursor = new JsonCursor(bytes, object.start, MAX_DEPTH);
  if (!cursor.enter("{")) return edits;
  let keptEnd = object.start + 1;
  let removedStart: number | undefined;
  while (cursor.nextMember()) {
    const start = cursor.keyStart - 1;
    const removed = isRemoved(cursor);
    cursor.skipValue();
    if (removed) {
      removedStart ??= start;
      continue;
    }
    // Removed members take the commas behind them along.
    if (removedStart !== undefined) edits.push({ start: removedStart, end: start, text: "" });
    removedStart = undefined;
    keptEnd = cursor.at;
  }
  // The last kept one loses its own comma where only removed ones follow.
  if (removedStart !== undefined) edits.push({ start: keptEnd, end: object.end - 1, text: "" });
  return edits;
}
