const DEPTH = 512;

/**
 * Characters of all strings and keys of plain data, eight for any other value; stops counting at `limit`.
 * Nesting beyond 512 counts as too large.
 */
export function charactersUpTo(value: unknown, limit: number, depth = 0): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 8;
  if (depth > DEPTH) return limit + 1;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  let total = 2;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length && total <= limit; index++) {
      total += charactersUpTo(value[index], limit - total, depth + 1);
    }
    return total;
  }
  for (const key in value) {
    const field = (value as Record<string, unknown>)[key];
    total += key.length;
    if (typeof field === "string") total += field.length;
    else if (typeof field !== "object" || field === null) total += 8;
    else total += charactersUpTo(field, limit - total, depth + 1);
    if (total > limit) break;
  }
  return total;
}
