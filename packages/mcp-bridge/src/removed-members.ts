import { JsonCursor } from "./json-cursor.ts";
import type { Edit, Span } from "./splice.ts";

/** Depth to which texts that were parsed before are searched. */
const MAX_DEPTH = 1024;

/** Edits that remove members of an object, commas included. */
export function removedMembers(bytes: Buffer, object: Span, isRemoved: (key: string) => boolean): Edit[] {
  const cursor = new JsonCursor(bytes, object.start, MAX_DEPTH);
  if (!cursor.enter("{")) return [];
  const members: { readonly removed: boolean; readonly start: number; readonly end: number }[] = [];
  while (cursor.nextMember()) {
    const start = cursor.keyStart - 1;
    const removed = isRemoved(cursor.key());
    cursor.skipValue();
    members.push({ removed, start, end: cursor.at });
  }
  if (!members.some((member) => member.removed)) return [];
  // Each removed member takes the comma behind it along; the last kept one loses its own when only removed follow.
  const lastKept = members.findLastIndex((member) => !member.removed);
  return members.flatMap((member, index) => {
    const next = members[index + 1];
    if (index < lastKept)
      return member.removed && next ? [{ start: member.start, end: next.start, text: "" }] : [];
    if (index === lastKept) return next ? [{ start: member.end, end: object.end - 1, text: "" }] : [];
    return lastKept < 0 && index === 0 ? [{ start: object.start + 1, end: object.end - 1, text: "" }] : [];
  });
}
