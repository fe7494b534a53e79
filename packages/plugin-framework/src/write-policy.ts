import { isSameValue } from "./same-value.ts";

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
 * A field that is another object is compared by content: a copy of what was there is no change. An untouched field is
 * known by its identity, and costs nothing.
 */
export function applyWrites(
  before: unknown,
  after: unknown,
  writable: ReadonlySet<string> | undefined,
): WriteVerdict {
  if (before === after) return { payload: before, dropped: NONE };
  if (writable === undefined) return { payload: isSameValue(before, after) ? before : after, dropped: NONE };
  const old = before as Record<string, unknown>;
  const edited = after as Record<string, unknown>;
  const next: Record<string, unknown> = { ...old };
  const dropped: string[] = [];
  let changed = false;
  for (const key of new Set([...Object.keys(old), ...Object.keys(edited)])) {
    const was = old[key];
    const is = edited[key];
    if ((was === is || isSameValue(was, is)) && owns(old, key) === owns(edited, key)) continue;
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
