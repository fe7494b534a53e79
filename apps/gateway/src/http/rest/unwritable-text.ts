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

/** Finds the first one in a JSON value, keys included. Walks without recursion: nesting is the sender's choice. */
export function findUnwritable(value: unknown): UnwritableText | undefined {
  const open: Place[] = [{ value, key: "", parent: undefined }];
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    if (typeof place.value === "string") {
      const message = problemOf(place.value);
      if (message !== undefined) return { path: pathOf(place), message };
    } else if (typeof place.value === "object" && place.value !== null) {
      for (const [key, member] of Object.entries(place.value).reverse()) {
        const message = problemOf(key);
        if (message !== undefined) return { path: pathOf(place), message: `a key ${message}` };
        open.push({ value: member, key, parent: place });
      }
    }
  }
  return undefined;
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
