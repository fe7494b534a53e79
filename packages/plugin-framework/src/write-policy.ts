/** A payload after a handler's `modify`, and what of it was not allowed. */
export interface WriteVerdict {
  /** The same object as before when nothing allowed was changed. */
  readonly payload: unknown;
  readonly dropped: readonly string[];
}

const NONE: readonly string[] = [];

function owns(object: object, key: string): boolean {
  return Object.hasOwn(object, key);
}

/**
 * Takes over the changed fields that are in `writable` (undefined: all); every other change is dropped and named.
 * Fields are compared by identity, so an untouched field costs nothing.
 */
export function applyWrites(
  before: unknown,
  after: unknown,
  writable: ReadonlySet<string> | undefined,
): WriteVerdict {
  if (writable === undefined || before === after) return { payload: after, dropped: NONE };
  const old = before as Record<string, unknown>;
  const edited = after as Record<string, unknown>;
  const next: Record<string, unknown> = { ...old };
  const dropped: string[] = [];
  let changed = false;
  for (const key of new Set([...Object.keys(old), ...Object.keys(edited)])) {
    if (old[key] === edited[key] && owns(old, key) === owns(edited, key)) continue;
    if (!writable.has(key)) {
      dropped.push(key);
      continue;
    }
    changed = true;
    if (owns(edited, key)) next[key] = edited[key];
    else delete next[key];
  }
  return { payload: changed ? next : before, dropped };
}
