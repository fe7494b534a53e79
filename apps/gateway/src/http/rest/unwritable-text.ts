/** A text that no database takes and no URL or key can hold, and where it is. */
export interface UnwritableText {
  readonly path: readonly string[];
  readonly message: string;
}

/** A value that is still to be looked at; where it is, is put together only when that has to be told. */
interface Place {
  readonly value: unknown;
  readonly key: string;
  readonly parent: Place | undefined;
}

/** Longest path that is told. */
const maxKeys = 32;

/** Finds one in a JSON value, keys included. Walks without recursion: nesting is the sender's choice. */
export function findUnwritable(value: unknown): UnwritableText | undefined {
  const open: Place[] = [];
  let found: UnwritableText | undefined;
  // Places are made for what is looked into alone: a body may have millions of values.
  const look = (member: unknown, key: string, parent: Place | undefined) => {
    if (typeof member === "string") {
      const message = problemOf(member);
      if (message !== undefined) found ??= { path: pathOf({ value: member, key, parent }), message };
    } else if (typeof member === "object" && member !== null) open.push({ value: member, key, parent });
  };
  look(value, "", undefined);
  for (let place = open.pop(); place !== undefined && found === undefined; place = open.pop()) {
    const { value: holder } = place;
    if (Array.isArray(holder)) {
      for (let index = 0; index < holder.length; index++) {
        if (typeof holder[index] !== "number") look(holder[index], String(index), place);
      }
      continue;
    }
    for (const key in holder as object) {
      const message = problemOf(key);
      if (message !== undefined) found ??= { path: pathOf(place), message: `a key ${message}` };
      look((holder as Record<string, unknown>)[key], key, place);
    }
  }
  return found;
}

function problemOf(text: string): string | undefined {
  if (!text.isWellFormed()) return "has to be well-formed Unicode, without a lone surrogate";
  return text.includes("\0") ? "has to be without a NUL character" : undefined;
}

function pathOf(place: Place): string[] {
  const keys: string[] = [];
  for (let at = place; at.parent !== undefined; at = at.parent) keys.push(at.key);
  return keys.reverse().slice(0, maxKeys);
}
